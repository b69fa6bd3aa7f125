#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Unit normals of triangles; the triangle is counter-clockwise when viewed from the tip of its normal.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \return (m, 3); zero for a degenerate triangle (see kDegenerateRatio)
Points face_normals(PointsIn V, FacesIn F);

//! Unit normals of vertices: the normalised sum of the normals of the incident triangles, weighted by area.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \return (n, 3); zero for a vertex without a triangle of positive area
Points vertex_normals(PointsIn V, FacesIn F);

}  // namespace facegeom
