#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! A rasterised mesh: one row per pixel, row-major over the image.
struct Raster {
  Rows attributes;   //!< (h w, k), NaN where no triangle covers the pixel centre
  Vector depth;      //!< (h w,), NaN where no triangle covers the pixel centre
  Indices triangle;  //!< (h w,) visible triangle, or -1
};

//! Orthographic z-buffer rasterisation of triangles in pixel coordinates.
//!
//! A pixel belongs to a triangle that covers its centre; of two triangles with a common edge through the
//! centre, the top-left rule chooses exactly one. Coverage is exact (see predicates.h): a closed fan of
//! triangles covers each pixel once, for all coordinates. Depth and attributes are convex combinations
//! of the values at the corners. At equal depth the triangle with the lower index is visible. The run time
//! is proportional to the area of the bounding boxes.
//! \param V (n, 3) pixel x, pixel y (down), depth; larger depths are nearer to the viewer
//! \param F (m, 3) triangles of either orientation; those of zero area cover no pixel
//! \param attributes (n, k) values to interpolate linearly; k may be 0
//! \param height image height in pixels
//! \param width image width in pixels
//! \return attributes, depth and triangle of each pixel
//! \throw std::invalid_argument if V and attributes differ in their number of rows, the image has no
//! pixel, more than kMaxPixels, or more than kMaxRasterValues attribute values
Raster rasterize(PointsIn V, FacesIn F, RowsIn attributes, Index height, Index width);

}  // namespace facegeom
