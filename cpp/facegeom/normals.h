#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Unit normals of triangles, pointing to the side from which they turn counter-clockwise.
//!
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \return (m, 3); a degenerate triangle (see kDegenerateRatio) has a row of zeros
Points face_normals(PointsIn V, FacesIn F);

//! Unit normals of vertices: the sum of the incident triangles' normals weighted by their areas.
//!
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \return (n, 3); a vertex without a triangle of positive area has a row of zeros
Points vertex_normals(PointsIn V, FacesIn F);

}  // namespace facegeom
