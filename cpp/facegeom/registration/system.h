#pragma once

#include <facegeom/laplacian.h>
#include <facegeom/types.h>

#include <Eigen/SparseCholesky>
#include <array>
#include <vector>

namespace facegeom::registration {

//! A symmetric 3 x 3 matrix: xx, xy, xz, yy, yz, zz.
using Symmetric3 = std::array<double, 6>;

//! a I + b n n^T: the matrix of the energy a |r|^2 + b (n . r)^2, squared distance to a point and to a plane.
inline Symmetric3 point_plane_matrix(double a, double b, const Eigen::Vector3d& n) {
  return {a + b * n[0] * n[0], b * n[0] * n[1], b * n[0] * n[2],
          a + b * n[1] * n[1], b * n[1] * n[2], a + b * n[2] * n[2]};
}

//! The quadratic energy of a deformed mesh: terms that attract points, and a thin plate that keeps the
//! displacement smooth.
//!
//! sum of weight (p - q)^T W (p - q) over the terms added, p a point of the mesh,
//! + stiffness tr(U^T K U) for the displacement U from the rest positions,
//! with K = L^T M^-1 L, L the cotangent Laplacian and M the mixed Voronoi areas of the rest positions: the
//! integral of the squared Laplacian of U, the bending energy of a thin plate. K has the unit 1 / area; a
//! constant U has no energy. \cite helenbrook2003mesh
//!
//! The minimum is found by conjugate gradients on all 3 n unknowns. The preconditioner is the Cholesky factor
//! of one n x n matrix for all three coordinates: stiffness K + the mean over x, y, z of the terms. Its
//! sparsity pattern is always the pattern of K, so it is analysed once. Only factorize() allocates
//! memory after construction.
class DeformationSystem {
 public:
  //! \param rest (n, 3)
  //! \param F (m, 3) triangles, indices below n
  DeformationSystem(PointsIn rest, FacesIn F);

  const Points& rest() const { return rest_; }

  //! Remove all terms.
  void clear();
  //! Attract a point of a triangle to a position.
  //! \param face triangle
  //! \param barycentric (3,) barycentric coordinates of the point
  //! \param W weight matrix
  //! \param q (3,) position
  void add(Index face, const double* barycentric, const Symmetric3& W, const double* q);
  //! Attract a vertex to a position.
  //! \param vertex index below n
  //! \param W weight matrix
  //! \param q (3,) position
  void add(Index vertex, const Symmetric3& W, const double* q);

  //! Factorise the preconditioner for the current terms.
  //! \param stiffness weight of the thin plate
  //! \throw SolverError if the matrix is not positive definite or not finite
  void factorize(double stiffness);

  //! Minimise the energy.
  //! \pre factorize() was called, for terms and a stiffness that may differ from the current ones
  //! \param stiffness weight of the thin plate
  //! \param tolerance maximum residual relative to the residual of the rest positions
  //! \param max_iterations maximum number of iterations
  //! \param X (n, 3) initial positions, replaced by the solution
  //! \return number of iterations
  //! \throw SolverError if `max_iterations` do not suffice
  int solve(double stiffness, double tolerance, int max_iterations, Points& X);

  //! tr(U^T K U) for the displacement U of X from the rest positions.
  double thin_plate_energy(const Points& X);

 private:
  void multiply(double stiffness, const Points& x, Points& y) const;
  void precondition(const Points& r, Points& z);

  Points rest_;
  Faces F_;
  Csr K_;
  Slots diagonal_slot_;                             //!< (n,) slot of each diagonal entry of K
  std::vector<std::array<std::int32_t, 2>> edges_;  //!< pairs (lower, higher) of vertices, ascending
  std::vector<std::int32_t> edge_slot_;             //!< slot of the entry (higher, lower) of K for each edge
  std::vector<std::array<std::int32_t, 3>> face_edges_;  //!< opposite to corners 0, 1, 2; -1 for equal ends
  std::vector<Symmetric3> vertex_terms_, edge_terms_;
  Points right_;  //!< (n, 3) sum of W q over the terms of each vertex
  double anchor_ = 0;
  Eigen::SparseMatrix<double> matrix_;
  Eigen::SimplicialLLT<Eigen::SparseMatrix<double>> cholesky_;
  Points u_, b_, r_, z_, p_, q_, permuted_;
};

}  // namespace facegeom::registration
