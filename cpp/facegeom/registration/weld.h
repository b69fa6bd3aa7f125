#pragma once

#include <facegeom/registration/registration.h>

namespace facegeom::registration {

//! A mesh with one vertex at each position, and without vertices that are in no triangle.
//!
//! Files without shared vertices (STL) and seams of texture coordinates split a vertex into several at
//! exactly the same position. Without welding, a deformation would tear the surface there.
class WeldedMesh {
 public:
  //! \param mesh referenced, not copied
  explicit WeldedMesh(const EmbeddedMesh& mesh);

  //! The mesh itself if nothing was welded or left out. Of vertices at one position, the first one counts.
  EmbeddedMesh mesh() const;
  //! Number of vertices of mesh().
  Index size() const { return changed_ ? V_.rows() : original_.V.rows(); }
  //! Vertex of mesh() at the position of an original vertex; -1 if that vertex is in no triangle.
  Index place(Index original) const { return changed_ ? place_[original] : original; }
  //! First original vertex of a vertex of mesh().
  Index origin(Index vertex) const { return changed_ ? origin_[vertex] : vertex; }
  //! Whether mesh() differs from the original mesh.
  bool changed() const { return changed_; }

 private:
  const EmbeddedMesh& original_;
  bool changed_ = false;
  Points V_;
  Faces F_;
  Rows E_;
  Indices place_, origin_;
};

}  // namespace facegeom::registration
