#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Move each vertex along its normal by the weighted mean of a signal over itself and its neighbours.
//!
//! step(v) = gain weight(v) sum_j a_j signal(j) / sum_j a_j over j = v and the one-ring of v, with
//! a_j = exp(-|v - v_j| / l) and l the mean length of v's edges; then clipped to [-max_step, max_step].
//! \cite facevision_gan section 4.2, which leaves the formula open; the exponential weight is \cite
//! pix2vertex eq. 4
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param signal (n,)
//! \param weight (n,)
//! \param gain length per unit of signal
//! \param max_step length, at least 0
//! A vertex without neighbours or normal stays.
//! \throw std::invalid_argument on mismatched sizes or a negative max_step
Points displace_along_normals(PointsIn V, FacesIn F, VectorIn signal, VectorIn weight, double gain,
                              double max_step);

struct ShadingOptions {
  double time;      //!< squared length: what is finer than sqrt(2 time) is detail
  double gain;      //!< length per unit of intensity
  double max_step;  //!< length, the farthest that a vertex moves, at least 0
  bool attenuate;   //!< less in curved places, eq. 13; else eq. 12, which draws the vertex to its neighbours'
                    //!< planes
};

//! Mesoscopic detail \cite pix2vertex eqs. 9 to 14: each vertex moves along its normal by eta delta_mu +
//! (1 - eta) delta_s, eta = 0.2.
//!
//! mu is the intensity minus its diffusion over the surface; delta_mu says how far mu at the vertex lies
//! above that of its neighbours, times the weight; delta_s is half the way to the cotangent-weighted mean of
//! the neighbours (an explicit step of mean curvature flow), zero on a border. Vertices of weight 0 are not
//! seen: their intensity counts nowhere. Steps are halved around a triangle until none turns by more than 60
//! degrees.
//! \param V (n, 3) positions, in mm: the neighbours' weights are exp(-|v - v_j|)
//! \param F (m, 3) triangles, indices below n
//! \param intensity (n,)
//! \param weight (n,) in [0, 1]
//! \throw std::invalid_argument on mismatched sizes or negative options
//! \throw SolverError if the diffusion's solve fails
Points displace_by_shading(PointsIn V, FacesIn F, VectorIn intensity, VectorIn weight,
                           const ShadingOptions& options);

}  // namespace facegeom
