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

}  // namespace facegeom
