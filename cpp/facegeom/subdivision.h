#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! A mesh in which each triangle has become four.
struct Subdivision {
  Points V;  //!< (n + e, 3): the old vertices, then one for each of the e edges in ascending order
  Faces F;   //!< (4 m, 3): rows 4 f to 4 f + 2 hold the corners 0, 1, 2 of triangle f, 4 f + 3 its middle
  Edges parents;  //!< (n + e, 2): the ends of the edge; twice itself for an old vertex
};

enum class SubdivisionScheme {
  kMidpoint,  //!< the surface stays as it is
  kLoop       //!< a smooth limit surface \cite loop_1987
};

//! Divide every triangle into four at the middles of its edges.
//!
//! Loop's rules inside; an edge of one triangle, or of more than two, is a crease, on which only the vertices
//! along it count; a vertex where other than two creases meet stays.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \throw std::invalid_argument if a triangle names a vertex twice or the mesh is too large for 32-bit slots
Subdivision subdivide(PointsIn V, FacesIn F, SubdivisionScheme scheme);

}  // namespace facegeom
