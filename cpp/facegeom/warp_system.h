#pragma once

#include <facegeom/laplacian.h>
#include <facegeom/types.h>

#include <Eigen/SparseCholesky>
#include <array>
#include <vector>

namespace facegeom {

//! A symmetric 3 x 3 matrix: xx, xy, xz, yy, yz, zz.
using Symmetric3 = std::array<double, 6>;

//! The quadratic energy of a mesh that is drawn to places and stays smooth:
//!
//! sum of weight (p - q)^T W (p - q) over the terms added, p a point of the mesh,
//! + stiffness tr(U^T K U) for the displacement U from the rest positions,
//! with K = L^T M^-1 L, L the cotangent Laplacian and M the mixed Voronoi areas of the rest positions: the
//! integral of the squared Laplacian of U. K has the unit 1 / area, and does not change when U is a constant.
//!
//! The minimum is found by conjugate gradients on all 3 n unknowns, preconditioned by the Cholesky factor of
//! one n x n matrix, stiffness K + the mean over x, y, z of the terms, which all three coordinates share. Its
//! pattern is that of K whatever the terms, so that it is analysed once. Nothing is allocated after
//! construction but by factorize().
class WarpSystem {
 public:
  //! \param rest (n, 3)
  //! \param F (m, 3) triangles, indices below n
  WarpSystem(PointsIn rest, FacesIn F);

  //! Move the rest positions; K stays that of construction.
  void set_rest(PointsIn rest) { rest_ = rest; }
  const Points& rest() const { return rest_; }

  //! Remove all terms.
  void clear();
  //! Draw the point of a face at barycentric `weight` to q.
  void add(Index face, const double* weight, const Symmetric3& W, const double* q);
  //! Draw a vertex to q.
  void add(Index vertex, const Symmetric3& W, const double* q);

  //! Factorise the preconditioner for the terms added so far.
  //! \throw SolverError if that fails
  void factorize(double stiffness);

  //! Minimise from X on, to a residual of `tolerance` relative to that of the rest positions.
  //! \return iterations
  //! \throw SolverError if `most` iterations do not suffice
  int solve(double stiffness, double tolerance, int most, Points& X);

  //! tr(U^T K U)
  double membrane_energy(const Points& X);

 private:
  void multiply(double stiffness, const Points& x, Points& y) const;
  void precondition(const Points& r, Points& z);

  Points rest_;
  Faces F_;
  Csr K_;
  Slots diagonal_slot_;                                  //!< (n,) of K's diagonal
  std::vector<std::array<std::int32_t, 2>> edges_;       //!< ascending vertex pairs
  std::vector<std::int32_t> edge_slot_;                  //!< of K's entry (higher, lower)
  std::vector<std::array<std::int32_t, 3>> face_edges_;  //!< opposite to corners 0, 1, 2; -1 where two agree
  std::vector<Symmetric3> vertex_terms_, edge_terms_;
  Points right_;  //!< sum of W q
  double anchor_ = 0;
  Eigen::SparseMatrix<double> matrix_;
  Eigen::SimplicialLLT<Eigen::SparseMatrix<double>> cholesky_;
  Points u_, b_, r_, z_, p_, q_, permuted_;
};

}  // namespace facegeom
