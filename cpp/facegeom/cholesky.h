#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Whether a factorisation succeeded with a finite factor. Eigen alone reports success for NaN on the
//! diagonal.
//! \param cholesky an Eigen::SimplicialLLT
template <class Cholesky>
bool is_factorized(const Cholesky& cholesky) {
  if (cholesky.info() != Eigen::Success) return false;
  const auto& L = cholesky.matrixL().nestedExpression();
  return Eigen::Map<const Vector>(L.valuePtr(), L.nonZeros()).allFinite();
}

//! Solve L L^T x = b for a Cholesky factor L, for K right-hand sides at once.
//! \param L lower triangular, compressed columns, the diagonal first in each column
//! \param x (n, K) right-hand sides, row-major; replaced by the solutions
template <int K>
void solve_with_cholesky_factor(const Eigen::SparseMatrix<double>& L, double* x) {
  const int* starts = L.outerIndexPtr();
  const int* rows = L.innerIndexPtr();
  const double* values = L.valuePtr();
  for (Index j = 0; j < L.cols(); ++j) {
    double own[K];
    for (int k = 0; k < K; ++k) own[k] = x[K * j + k] /= values[starts[j]];
    for (int s = starts[j] + 1; s < starts[j + 1]; ++s) {
      for (int k = 0; k < K; ++k) x[K * Index(rows[s]) + k] -= values[s] * own[k];
    }
  }
  for (Index j = L.cols() - 1; j >= 0; --j) {
    double own[K];
    for (int k = 0; k < K; ++k) own[k] = x[K * j + k];
    for (int s = starts[j] + 1; s < starts[j + 1]; ++s) {
      for (int k = 0; k < K; ++k) own[k] -= values[s] * x[K * Index(rows[s]) + k];
    }
    for (int k = 0; k < K; ++k) x[K * j + k] = own[k] / values[starts[j]];
  }
}

}  // namespace facegeom
