#include <facegeom/cholesky.h>
#include <facegeom/interrupt.h>
#include <facegeom/laplacian.h>
#include <facegeom/smoothing.h>
#include <facegeom/triangle.h>

#include <Eigen/SparseCholesky>
#include <cmath>
#include <limits>
#include <sstream>

namespace facegeom {

namespace {

//! The neighbours over which each vertex is averaged: slots [begin, end) of the columns.
struct Stencils {
  Slots begin, end, columns;
};

Stencils smoothing_stencils(FacesIn F, Index n, bool fix_boundary) {
  EdgeMatrix<std::int32_t> uses =
      assemble_edges<std::int32_t>(F, n, false, [](Index) { return std::array<std::int32_t, 3>{1, 1, 1}; });
  Stencils out{uses.starts.head(n), uses.starts.tail(n), std::move(uses.columns)};
  for (Index i = 0; i < n; ++i) {
    std::int32_t kept = out.begin[i];
    for (std::int32_t s = out.begin[i]; s < out.end[i]; ++s) {
      if (uses.values[s] == 1) out.columns[kept++] = out.columns[s];
    }
    if (kept > out.begin[i]) out.end[i] = fix_boundary ? out.begin[i] : kept;
  }
  return out;
}

//! M + time L, with the mass 1 for a vertex without area, which then keeps its value.
Csr heat_matrix(PointsIn V, FacesIn F, double time, Vector& mass) {
  if (!(time >= 0)) throw std::invalid_argument("time must be at least 0");
  Csr A = cotangent_laplacian(V, F);
  mass = mass_matrix(V, F);
  for (Index i = 0; i < A.rows(); ++i) {
    if (!(mass[i] > 0)) mass[i] = 1;
    for (std::int32_t s = A.starts[i]; s < A.starts[i + 1]; ++s) {
      A.values[s] *= time;
      if (A.columns[s] == i) A.values[s] += mass[i];
    }
  }
  return A;
}

void check_values(RowsIn values, Index n) {
  if (values.rows() != n) throw std::invalid_argument("values must have one row per vertex");
}

//! Conjugate gradients with a diagonal preconditioner for K columns at once. x is the start and becomes the
//! solution. A residual as small as the rounding errors of A x is accepted whatever the tolerance.
template <int K>
class ConjugateGradients {
 public:
  using Block = Eigen::Matrix<double, Eigen::Dynamic, K, K == 1 ? Eigen::ColMajor : Eigen::RowMajor>;

  ConjugateGradients(const Csr& A, const Block& b, Block& x)
      : A_(A), b_(b), x_(x), n_(A.rows()), inverse_(n_), r_(n_, K), p_(n_, K), q_(n_, K) {
    for (Index i = 0; i < n_; ++i) {
      for (std::int32_t s = A.starts[i]; s < A.starts[i + 1]; ++s) {
        if (A.columns[s] == i) inverse_[i] = 1 / A.values[s];
      }
    }
  }

  void solve(double tolerance) {
    const Scalars wanted = tolerance * tolerance * sum_of_products(b_, b_);
    const Index limit = 10 * Index(std::sqrt(double(n_))) + 1000;
    Scalars residual = restart();
    bool exact = true;
    for (Index iteration = 0; iteration < limit; ++iteration) {
      poll_interrupt();
      if ((residual <= wanted.max(rounding_)).all()) {
        // The residual of the recurrence accumulates rounding errors: compute it from x before accepting.
        if (exact) return;
        residual = restart();
        exact = true;
        continue;
      }
      exact = false;
      const Scalars pq = multiply(p_);
      const Scalars alpha = (pq > 0).select(rz_ / pq, 0.0);
      const Scalars rz = rz_;
      residual = advance(alpha);
      turn((rz > 0).select(rz_ / rz, 0.0));
    }
    std::ostringstream message;
    message << "conjugate gradients did not reach a relative residual of " << tolerance << " in " << limit
            << " iterations";
    throw SolverError(message.str());
  }

 private:
  using Scalars = Eigen::Array<double, 1, K>;

  static Scalars sum_of_products(const Block& a, const Block& b) {
    Scalars sum = Scalars::Zero();
    for (Index i = 0; i < a.size(); i += K) {
      for (int k = 0; k < K; ++k) sum[k] += a.data()[i + k] * b.data()[i + k];
    }
    return sum;
  }

  //! q = A v; returns the column sums of v * q.
  Scalars multiply(const Block& v) {
    Scalars vq = Scalars::Zero();
    for (Index i = 0; i < n_; ++i) {
      Scalars sum = Scalars::Zero();
      for (std::int32_t s = A_.starts[i]; s < A_.starts[i + 1]; ++s) {
        const double value = A_.values[s];
        const double* row = v.data() + K * Index(A_.columns[s]);
        for (int k = 0; k < K; ++k) sum[k] += value * row[k];
      }
      for (int k = 0; k < K; ++k) {
        q_.data()[K * i + k] = sum[k];
        vq[k] += v.data()[K * i + k] * sum[k];
      }
    }
    return vq;
  }

  //! Restart from x; returns the squared residuals.
  Scalars restart() {
    multiply(x_);
    r_ = b_ - q_;
    constexpr double kRounding = 8 * std::numeric_limits<double>::epsilon();
    rounding_.setZero();
    for (Index i = 0; i < n_; ++i) {
      for (int k = 0; k < K; ++k) {
        const double size = kRounding * x_.data()[K * i + k] / inverse_[i];
        rounding_[k] += size * size;
      }
    }
    p_ = inverse_.asDiagonal() * r_;
    rz_ = sum_of_products(r_, p_);
    return sum_of_products(r_, r_);
  }

  //! Step along p; returns the squared residuals.
  Scalars advance(const Scalars& alpha) {
    Scalars residual = Scalars::Zero();
    rz_.setZero();
    for (Index i = 0; i < n_; ++i) {
      for (int k = 0; k < K; ++k) {
        const Index at = K * i + k;
        x_.data()[at] += alpha[k] * p_.data()[at];
        const double r = r_.data()[at] -= alpha[k] * q_.data()[at];
        residual[k] += r * r;
        rz_[k] += inverse_[i] * r * r;
      }
    }
    return residual;
  }

  //! Next direction.
  void turn(const Scalars& beta) {
    for (Index i = 0; i < n_; ++i) {
      for (int k = 0; k < K; ++k) {
        const Index at = K * i + k;
        p_.data()[at] = inverse_[i] * r_.data()[at] + beta[k] * p_.data()[at];
      }
    }
  }

  const Csr& A_;
  const Block& b_;
  Block& x_;
  Index n_;
  Vector inverse_;
  Block r_, p_, q_;
  Scalars rz_, rounding_;
};

//! Call action(first column, std::integral_constant<int, width>()) for blocks of at most four columns.
template <class Action>
void by_columns(Index columns, const Action& action) {
  Index column = 0;
  for (; column + 4 <= columns; column += 4) action(column, std::integral_constant<int, 4>());
  switch (columns - column) {
    case 3:
      return action(column, std::integral_constant<int, 3>());
    case 2:
      return action(column, std::integral_constant<int, 2>());
    case 1:
      return action(column, std::integral_constant<int, 1>());
    default:
      return;
  }
}

}  // namespace

Points laplacian_smooth(PointsIn V, FacesIn F, int iterations, double step, bool fix_boundary) {
  if (iterations < 0) throw std::invalid_argument("iterations must be at least 0");
  if (!(step >= 0 && step <= 1)) throw std::invalid_argument("step must lie in [0, 1]");
  const Index n = V.rows();
  const Stencils stencils = smoothing_stencils(F, n, fix_boundary);
  Vector factor(n);
  for (Index i = 0; i < n; ++i) {
    const std::int32_t count = stencils.end[i] - stencils.begin[i];
    factor[i] = count > 0 ? step / count : 0;
  }
  Points now = V;
  Points next(n, 3);
  for (int iteration = 0; iteration < iterations; ++iteration) {
    poll_interrupt();
    const double* from = now.data();
    double* to = next.data();
    for (Index i = 0; i < n; ++i) {
      double x = 0, y = 0, z = 0;
      const std::int32_t begin = stencils.begin[i], end = stencils.end[i];
      for (std::int32_t s = begin; s < end; ++s) {
        const double* other = from + 3 * Index(stencils.columns[s]);
        x += other[0];
        y += other[1];
        z += other[2];
      }
      const double keep = begin < end ? 1 - step : 1;
      to[3 * i] = keep * from[3 * i] + factor[i] * x;
      to[3 * i + 1] = keep * from[3 * i + 1] + factor[i] * y;
      to[3 * i + 2] = keep * from[3 * i + 2] + factor[i] * z;
    }
    now.swap(next);
  }
  return now;
}

Rows heat_smooth(PointsIn V, FacesIn F, RowsIn values, double time, double tolerance) {
  check_values(values, V.rows());
  Vector mass;
  const Csr A = heat_matrix(V, F, time, mass);
  Rows x = mass.asDiagonal() * values;
  by_columns(values.cols(), [&](Index column, auto width) {
    constexpr int kWidth = decltype(width)::value;
    using Block = typename ConjugateGradients<kWidth>::Block;
    const Block right = x.middleCols(column, kWidth);
    Block solution = values.middleCols(column, kWidth);
    ConjugateGradients<kWidth>(A, right, solution).solve(tolerance);
    x.middleCols(column, kWidth) = solution;
  });
  if (!x.allFinite()) throw SolverError("the diffusion is not finite: the time or the values are too large");
  return x;
}

struct MeshSolver::Factor {
  using Columns = Eigen::SparseMatrix<double>;
  Vector mass;
  Eigen::SimplicialLLT<Columns> cholesky;
};

MeshSolver::MeshSolver(PointsIn V, FacesIn F, double time) : factor_(std::make_unique<Factor>()) {
  const Csr A = heat_matrix(V, F, time, factor_->mass);
  // The compressed rows of a symmetric matrix are its compressed columns.
  const Eigen::Map<const Factor::Columns> columns(A.rows(), A.rows(), A.columns.size(), A.starts.data(),
                                                  A.columns.data(), A.values.data());
  factor_->cholesky.compute(columns);
  if (!is_factorized(factor_->cholesky)) {
    throw SolverError("the Cholesky factorisation failed: the mesh is too distorted for this time");
  }
}

MeshSolver::~MeshSolver() = default;

Rows MeshSolver::smooth(RowsIn values) const {
  const Vector& mass = factor_->mass;
  check_values(values, mass.size());
  const Factor::Columns& L = factor_->cholesky.matrixL().nestedExpression();
  const auto& place = factor_->cholesky.permutationP().indices();
  Rows out(values.rows(), values.cols());
  // Reading the factor takes most of the time: it is read once for all columns of a block.
  by_columns(values.cols(), [&](Index column, auto width) {
    constexpr int kWidth = decltype(width)::value;
    typename ConjugateGradients<kWidth>::Block x(mass.size(), kWidth);
    for (Index i = 0; i < mass.size(); ++i) {
      x.row(place.size() > 0 ? place[i] : i) = mass[i] * values.row(i).segment<kWidth>(column);
    }
    poll_interrupt();
    solve_with_cholesky_factor<kWidth>(L, x.data());
    for (Index i = 0; i < mass.size(); ++i) {
      out.row(i).segment<kWidth>(column) = x.row(place.size() > 0 ? place[i] : i);
    }
  });
  if (!out.allFinite())
    throw SolverError("the diffusion is not finite: the time or the values are too large");
  return out;
}

}  // namespace facegeom
