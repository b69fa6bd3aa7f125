#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! A mesh in which each triangle is divided into four.
struct Subdivision {
  Points V;  //!< (n + e, 3): the old vertices, then one per edge, sorted by the lower and the higher vertex
  Faces
      F;  //!< (4 m, 3): rows 4 f to 4 f + 2 contain the corners 0, 1, 2 of triangle f, 4 f + 3 is its centre
  Edges parents;  //!< (n + e, 2): the two ends of the edge; for an old vertex, itself twice
};

enum class SubdivisionScheme {
  kMidpoint,  //!< the surface does not change
  kLoop       //!< the limit surface is smooth \cite loop1987smooth
};

//! Divide every triangle into four at the midpoints of its edges.
//!
//! Interior vertices follow Loop's rules. An edge of one triangle, or of more than two, is a crease: its
//! vertices are averaged along the crease only. A vertex at which the number of creases is neither 0 nor 2
//! does not move.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param scheme positions of the vertices
//! \return the subdivided mesh
//! \throw std::invalid_argument if a triangle contains a vertex twice or the mesh is too large for 32-bit
//! indices
Subdivision subdivide(PointsIn V, FacesIn F, SubdivisionScheme scheme);

}  // namespace facegeom
