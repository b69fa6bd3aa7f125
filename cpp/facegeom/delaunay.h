#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Delaunay triangulation of points in the plane.
//!
//! \param points (n, 2), finite
//! \return (m, 3) triangles, counter-clockwise with y up. Together they cover the convex hull, and no point
//! lies inside
//!     the circumcircle of any; where four or more points share a circle, one of the valid choices is taken.
//! Fewer than three points, or all on one line: no triangles. Of equal points only the lowest index is used.
//! Every decision is exact (see predicates.h), so nearly degenerate input gives a valid triangulation too, as
//! long as the smallest coordinate difference is above about 1e-60 of the largest coordinate. Cost: about n
//! log n; deterministic.
//!
//! The points are taken by their distance from their mean, so that each new one lies outside the hull of the
//! former; it is joined to the hull edges that it sees, and edges that fail the in-circle test are flipped
//! (\cite lawson_1977_software for the flips, \cite sinclair_2016_shull for the order).
//! \throw std::invalid_argument for more than 2^28 points
Faces delaunay(Points2In points);

}  // namespace facegeom
