#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Delaunay triangulation of points in the plane.
//!
//! The triangles cover the convex hull, and no point lies inside the circumcircle of a triangle; where four
//! or more points share a circle, one of the valid triangulations is chosen. Fewer than three points, or
//! points on one line, give no triangles. Of points that coincide, only the point with the lowest index is
//! used.
//!
//! All decisions are exact (see predicates.h), so nearly degenerate input also gives a valid triangulation.
//! Deterministic; time about n log n.
//!
//! Points are inserted in the order of their distance from their mean, so that each point lies outside the
//! hull of the previous points. The point is connected to the visible hull edges \cite sinclair2016shull, and
//! edges that fail the in-circle test are flipped. \cite lawson1977software
//! \param points (n, 2), finite
//! \return (m, 3) triangles, counter-clockwise with y up
//! \throw std::invalid_argument for more than 2^28 points, or coordinates that are not 0 but less than 1e-50
//! of the largest coordinate (points on a small lattice may be that small)
Faces delaunay(Points2In points);

}  // namespace facegeom
