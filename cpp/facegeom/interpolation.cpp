#include <facegeom/interpolation.h>
#include <facegeom/laplacian.h>

#include <Eigen/SparseCholesky>
#include <cmath>

namespace facegeom {

namespace {

//! Weight that keeps every value at zero, as a fraction of the mean diagonal: a component without weights
//! would otherwise have no unique solution.
constexpr double kAnchor = 1e-14;

}  // namespace

Rows biharmonic_interpolation(PointsIn V, FacesIn F, RowsIn values, VectorIn weight, double length,
                              double decay) {
  const Index n = V.rows();
  if (values.rows() != n || weight.size() != n) {
    throw std::invalid_argument("values and weight must have one row per vertex");
  }
  if (!(length > 0) || std::isinf(length) || !(decay > 0))
    throw std::invalid_argument("length and decay must be above 0");
  if (values.size() == 0) return values;
  if (!(weight.minCoeff() >= 0)) throw std::invalid_argument("weight must not be negative");

  const Vector mass = mass_matrix(V, F);
  Csr A = bilaplacian(cotangent_laplacian(V, F), mass);
  A.values *= std::pow(length, 4);
  const double fall = std::pow(length / decay, 4);  // 0 for an infinite decay
  Indices diagonal(n);
  for (Index i = 0; i < n; ++i) {
    for (std::int32_t s = A.starts[i]; s < A.starts[i + 1]; ++s) {
      if (A.columns[s] == i) diagonal[i] = s;
    }
    A.values[diagonal[i]] += mass[i] > 0 ? mass[i] * (weight[i] + fall) : 1;
  }
  double trace = 0;
  for (Index i = 0; i < n; ++i) trace += A.values[diagonal[i]];
  for (Index i = 0; i < n; ++i) {
    if (mass[i] > 0) A.values[diagonal[i]] += kAnchor * trace / double(n);
  }
  Eigen::MatrixXd right(n, values.cols());
  for (Index i = 0; i < n; ++i) right.row(i) = (mass[i] > 0 ? mass[i] * weight[i] : 1) * values.row(i);

  // The compressed rows of a symmetric matrix are its compressed columns.
  using Columns = Eigen::SparseMatrix<double>;
  const Eigen::Map<const Columns> columns(n, n, A.columns.size(), A.starts.data(), A.columns.data(),
                                          A.values.data());
  const Eigen::SimplicialLLT<Columns> cholesky(columns);
  Rows out(n, values.cols());
  if (cholesky.info() == Eigen::Success) out = cholesky.solve(right);
  if (cholesky.info() != Eigen::Success || !out.allFinite()) {
    throw SolverError("the Cholesky factorisation failed: the mesh is too distorted for this length");
  }
  return out;
}

}  // namespace facegeom
