#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Values that are known here and there, continued over the surface without a crease.
//!
//! The minimum over u of the integral of weight |u - values|^2 + length^4 |Laplacian u|^2
//! + (length / decay)^4 |u|^2, by one Cholesky factorisation for all columns.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param values (n, k)
//! \param weight (n,) at least 0
//! \param length over which values of weight 1 are smoothed
//! \param decay length over which u falls to zero where nothing is known; infinite: it does not
//! Vertices without area keep their values; a part of the surface on which all weights are zero becomes zero.
//! \throw std::invalid_argument on mismatched rows, a negative weight or lengths that are not positive
//! \throw SolverError if the factorisation fails
Rows biharmonic_interpolation(PointsIn V, FacesIn F, RowsIn values, VectorIn weight, double length,
                              double decay);

}  // namespace facegeom
