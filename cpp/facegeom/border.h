#pragma once

#include <facegeom/types.h>

#include <vector>

namespace facegeom {

//! Vertices whose triangles do not close around them.
//! \param F (m, 3) triangles, indices below n
std::vector<char> border_vertices(FacesIn F, Index n);

}  // namespace facegeom
