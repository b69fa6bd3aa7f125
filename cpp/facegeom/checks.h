#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Largest magnitude of coordinates and values that the core accepts: the products that it forms, of up to
//! eight coordinates, are then finite.
constexpr double kMaxMagnitude = 1e30;

//! Largest number of vertices of a mesh that the core accepts where it is given as a number.
constexpr Index kMaxVertices = Index(1) << 28;

//! Largest number of pixels of a raster, 16,384 squared, and largest number of attribute values of a raster.
constexpr Index kMaxPixels = Index(1) << 28, kMaxRasterValues = Index(1) << 30;

//! Whether all values are finite and at most kMaxMagnitude in magnitude.
//! \param values (count,)
//! \param count number of values
bool within_magnitude(const double* values, Index count);

//! Whether all indices lie in [0, upper).
//! \param indices (count,)
//! \param count number of indices
//! \param upper at least 0
bool indices_below(const Index* indices, Index count, Index upper);

}  // namespace facegeom
