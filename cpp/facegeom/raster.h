#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! A rasterised mesh: h * w rows, row-major over the image.
struct Raster {
  Rows attributes;   //!< (h * w, k), NaN where no triangle covers the pixel centre
  Vector depth;      //!< (h * w,), NaN there
  Indices triangle;  //!< (h * w,), -1 there
};

//! Z-buffer rasterisation of triangles given in pixel coordinates, orthographic.
//!
//! \param V (n, 3) pixel x, pixel y (down), depth with greater values nearer to the viewer
//! \param F (m, 3) triangles; both windings are drawn, zero-area ones cover nothing
//! \param attributes (n, k) values interpolated linearly; k may be 0
//! A pixel belongs to the triangle that covers its centre; on a shared edge the top-left rule gives it to
//! exactly one of them. Coverage is exact (see predicates.h): a closed fan of triangles covers each pixel
//! once, whatever the coordinates. Depth and attributes are convex combinations of the corners'. At equal
//! depth the triangle of lower index wins. Cost: proportional to the triangles' bounding boxes.
//! \throw std::invalid_argument if attributes has another number of rows than V or the size is not positive
Raster rasterize(PointsIn V, FacesIn F, RowsIn attributes, Index height, Index width);

}  // namespace facegeom
