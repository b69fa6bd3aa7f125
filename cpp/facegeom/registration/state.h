#pragma once

#include <facegeom/closest_point.h>
#include <facegeom/registration/registration.h>

#include <vector>

namespace facegeom::registration {

//! Arguments of register_nonrigid and quantities computed from them once; constant during a run.
struct Problem {
  //! The arguments are referenced, not copied.
  Problem(const EmbeddedMesh& source, const EmbeddedMesh& target, const RegistrationOptions& options,
          const Landmarks& landmarks, VectorIn weights);

  const EmbeddedMesh& source;  //!< the template
  const EmbeddedMesh& target;
  const RegistrationOptions& options;
  const Landmarks& landmarks;
  VectorIn weights;                   //!< (n,) weight of the matches of each template vertex
  Points target_N;                    //!< vertex normals of the target
  std::vector<char> source_boundary;  //!< (n,) whether a template vertex lies on a boundary
  double embedding_edge;              //!< mean edge length of the template's embedding, 0 without embedding

  Index size() const { return source.V.rows(); }
};

//! The target as a surface onto which points are projected; only needed without embeddings.
struct TargetSurface {
  explicit TargetSurface(const EmbeddedMesh& target);

  TriangleTree tree;
  std::vector<char> boundary;  //!< for each target vertex, whether it lies on a boundary
};

//! A point of the template and the corresponding point of the target.
struct Correspondence {
  Index face;             //!< template triangle that contains the point; -1: the point is `vertex` itself
  Index vertex;           //!< template vertex with the largest barycentric weight
  double barycentric[3];  //!< barycentric coordinates of the point in `face`
  Eigen::Vector3d target_point, target_normal;
  Index target_vertex;
  double prior;       //!< prior weight, interpolated from Problem::weights
  double robust = 1;  //!< robust weight in [0, 1]

  double weight() const { return prior * robust; }
};

//! Variables that change from one outer iteration to the next.
struct State {
  Points X;                                     //!< (n, 3) deformed template
  Points N;                                     //!< (n, 3) vertex normals of the deformed template
  Points previous;                              //!< (n, 3) X before the current iteration
  double edge;                                  //!< mean edge length of the aligned template
  std::vector<Correspondence> correspondences;  //!< correspondences of the current iteration
};

//! Mean length of the edges of the triangles.
//! \param P (n, k) positions
//! \param F (m, 3) triangles, indices below n
double mean_edge_length(RowsIn P, FacesIn F);

//! Set the positions, and compute their normals.
void set_positions(const Problem& problem, const Points& X, State& state);

//! Barycentric interpolation of the rows of P in a triangle.
inline Eigen::Vector3d interpolate(PointsIn P, FacesIn F, Index face, const double* barycentric) {
  return barycentric[0] * P.row(F(face, 0)) + barycentric[1] * P.row(F(face, 1)) +
         barycentric[2] * P.row(F(face, 2));
}

//! Value at the template point of a correspondence.
//! \param pair its template point
//! \param rows (n, 3), such as State::X or State::N
//! \param F triangles of the template
//! \return the interpolated row
inline Eigen::Vector3d value_at(const Correspondence& pair, const Points& rows, FacesIn F) {
  if (pair.face < 0) return rows.row(pair.vertex).transpose();
  return interpolate(rows, F, pair.face, pair.barycentric);
}

}  // namespace facegeom::registration
