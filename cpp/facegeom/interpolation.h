#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Interpolate values smoothly that are known at some vertices.
//!
//! The result u minimises the integral of weight |u - values|^2 + length^4 |Laplacian u|^2
//! + (length / decay)^4 |u|^2, by one Cholesky factorisation for all columns. The gradient of u is continuous
//! at known vertices too. Vertices without area keep their values; a component on which all weights are zero
//! becomes zero. \cite botsch2008linear section 3
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param values (n, k)
//! \param weight (n,) at least 0; 0 where the value is unknown
//! \param length smoothing length at values of weight 1
//! \param decay decay length of u with the distance from known values; infinity: u does not decay
//! \return (n, k) the result u
//! \throw std::invalid_argument if the rows differ, a weight is negative or a length is not positive
//! \throw SolverError if the factorisation fails
Rows biharmonic_interpolation(PointsIn V, FacesIn F, RowsIn values, VectorIn weight, double length,
                              double decay);

}  // namespace facegeom
