#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Move each vertex along its normal by the weighted mean of a signal over itself and its neighbours.
//!
//! step(v) = gain weight(v) sum_j a_j signal(j) / sum_j a_j over j = v and the one-ring of v, with
//! a_j = exp(-|v - v_j| / l) and l the mean length of v's edges; then clipped to [-max_step, max_step].
//! The paper states no formula (section 4.2 of \cite avola2024facevision). The exponential weight follows
//! eq. 4 of pix2vertex \cite sela2017unrestricted (relative to the mesh). A vertex without neighbours or
//! normal does not move.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param signal (n,)
//! \param weight (n,)
//! \param gain length per unit of signal
//! \param max_step length, at least 0
//! \return (n, 3) moved positions
//! \throw std::invalid_argument if the sizes differ or max_step is negative
Points displace_along_normals(PointsIn V, FacesIn F, VectorIn signal, VectorIn weight, double gain,
                              double max_step);

struct ShadingOptions {
  double time;      //!< diffusion time, squared length, at least 0; detail is finer than sqrt(2 time)
  double gain;      //!< length per unit of intensity
  double max_step;  //!< longest displacement, at least 0
  bool attenuate;   //!< true: eq. 13, less detail where the surface is curved; false: eq. 12, which also
                    //!< moves the vertex towards the tangent planes of its neighbours
};

//! Fine detail from shading: each vertex moves along its normal by eta delta_mu + (1 - eta) delta_s, with
//! eta = 0.2. \cite sela2017unrestricted eqs. 9 to 14
//!
//! mu is the intensity minus its diffusion over the surface. delta_mu is the weighted mean difference of mu
//! to the neighbours, times the weight of the vertex. delta_s is half the way to the cotangent-weighted mean
//! of the neighbours (an explicit step of mean curvature flow), zero on a boundary. The intensity of a vertex
//! of weight 0 is unknown and is not used. Where a triangle would turn by more than 60 degrees, the steps of
//! its corners are halved until the triangle turns by less.
//! \param V (n, 3) positions in mm: the neighbours' weights are exp(-|v - v_j|)
//! \param F (m, 3) triangles, indices below n
//! \param intensity (n,)
//! \param weight (n,) in [0, 1]
//! \param options see ShadingOptions
//! \return (n, 3) moved positions
//! \throw std::invalid_argument if the sizes differ, or the time or max_step is negative
//! \throw SolverError if the solve of the diffusion fails
Points displace_by_shading(PointsIn V, FacesIn F, VectorIn intensity, VectorIn weight,
                           const ShadingOptions& options);

}  // namespace facegeom
