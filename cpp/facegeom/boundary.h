#pragma once

#include <facegeom/types.h>

#include <vector>

namespace facegeom {

//! Mark the vertices on a boundary: on an edge that is not used equally often in both directions. A vertex of
//! a closed fan of consistently oriented triangles is not on a boundary, and neither is a vertex without
//! triangles.
//! \param F (m, 3) triangles, indices below n
//! \param n number of vertices
//! \return (n,) 1 on a boundary, else 0
//! \throw std::invalid_argument if the mesh is too large for 32-bit indices
std::vector<char> boundary_vertices(FacesIn F, Index n);

}  // namespace facegeom
