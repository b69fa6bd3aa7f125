#include <facegeom/cholesky.h>
#include <facegeom/interrupt.h>
#include <facegeom/registration/system.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace facegeom::registration {

namespace {

//! Weight that keeps each vertex at rest, as a fraction of the mean diagonal: a component without terms would
//! otherwise have no unique solution.
constexpr double kAnchor = 1e-9;

void accumulate(Symmetric3& sum, double weight, const Symmetric3& W) {
  for (std::size_t k = 0; k < 6; ++k) sum[k] += weight * W[k];
}

//! y += A x
void multiply_add(const Symmetric3& A, const double* x, double* y) {
  y[0] += A[0] * x[0] + A[1] * x[1] + A[2] * x[2];
  y[1] += A[1] * x[0] + A[3] * x[1] + A[4] * x[2];
  y[2] += A[2] * x[0] + A[4] * x[1] + A[5] * x[2];
}

double mean_of(const Symmetric3& A) { return (A[0] + A[3] + A[5]) / 3; }

std::int32_t slot_of(const Slots& starts, const Slots& columns, Index row, std::int32_t column) {
  const std::int32_t* begin = columns.data() + starts[row];
  const std::int32_t* end = columns.data() + starts[row + 1];
  return static_cast<std::int32_t>(std::lower_bound(begin, end, column) - columns.data());
}

double dot(const Points& a, const Points& b) {
  double sum = 0;
  for (Index i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
  return sum;
}

}  // namespace

DeformationSystem::DeformationSystem(PointsIn rest, FacesIn F) : rest_(rest), F_(F) {
  const Index n = rest.rows();
  const Csr L = cotangent_laplacian(rest, F);
  K_ = bilaplacian(L, mass_matrix(rest, F));

  diagonal_slot_.resize(n);
  for (Index i = 0; i < n; ++i) {
    const auto own = static_cast<std::int32_t>(i);
    diagonal_slot_[i] = slot_of(K_.starts, K_.columns, i, own);
    for (std::int32_t s = L.starts[i]; s < L.starts[i + 1]; ++s) {
      if (L.columns[s] >= own) continue;
      edges_.push_back({L.columns[s], own});
      edge_slot_.push_back(slot_of(K_.starts, K_.columns, i, L.columns[s]));
    }
  }
  // Edges are sorted by (higher, lower) vertex: found by binary search.
  const auto edge_of = [&](Index a, Index b) {
    if (a == b) return std::int32_t(-1);
    const std::array<std::int32_t, 2> edge{std::int32_t(std::min(a, b)), std::int32_t(std::max(a, b))};
    const auto place = std::lower_bound(edges_.begin(), edges_.end(), edge, [](const auto& x, const auto& y) {
      return x[1] != y[1] ? x[1] < y[1] : x[0] < y[0];
    });
    return static_cast<std::int32_t>(place - edges_.begin());
  };
  face_edges_.reserve(std::size_t(F.rows()));
  for (Index f = 0; f < F.rows(); ++f) {
    face_edges_.push_back({edge_of(F(f, 1), F(f, 2)), edge_of(F(f, 2), F(f, 0)), edge_of(F(f, 0), F(f, 1))});
  }

  matrix_ = Eigen::Map<const Eigen::SparseMatrix<double>>(n, n, K_.columns.size(), K_.starts.data(),
                                                          K_.columns.data(), K_.values.data());
  cholesky_.analyzePattern(matrix_);
  vertex_terms_.resize(std::size_t(n));
  edge_terms_.resize(edges_.size());
  for (Points* buffer : {&right_, &u_, &b_, &r_, &z_, &p_, &q_, &permuted_}) buffer->resize(n, 3);
  clear();
}

void DeformationSystem::clear() {
  std::fill(vertex_terms_.begin(), vertex_terms_.end(), Symmetric3{});
  std::fill(edge_terms_.begin(), edge_terms_.end(), Symmetric3{});
  right_.setZero();
}

void DeformationSystem::add(Index face, const double* weight, const Symmetric3& W, const double* q) {
  double Wq[3] = {0, 0, 0};
  multiply_add(W, q, Wq);
  const auto& edges = face_edges_[std::size_t(face)];
  for (int k = 0; k < 3; ++k) {
    const Index v = F_(face, k);
    accumulate(vertex_terms_[std::size_t(v)], weight[k] * weight[k], W);
    for (int c = 0; c < 3; ++c) right_(v, c) += weight[k] * Wq[c];
    const double both = weight[(k + 1) % 3] * weight[(k + 2) % 3];
    if (edges[std::size_t(k)] >= 0) {
      accumulate(edge_terms_[std::size_t(edges[std::size_t(k)])], both, W);
    } else {
      accumulate(vertex_terms_[std::size_t(F_(face, (k + 1) % 3))], 2 * both, W);
    }
  }
}

void DeformationSystem::add(Index vertex, const Symmetric3& W, const double* q) {
  accumulate(vertex_terms_[std::size_t(vertex)], 1, W);
  multiply_add(W, q, right_.data() + 3 * vertex);
}

void DeformationSystem::factorize(double stiffness) {
  const Index n = rest_.rows();
  Eigen::Map<Vector> values(matrix_.valuePtr(), K_.values.size());
  values = stiffness * K_.values;
  double trace = 0;
  for (Index i = 0; i < n; ++i) {
    double& diagonal = values[diagonal_slot_[i]];
    diagonal += mean_of(vertex_terms_[std::size_t(i)]);
    trace += diagonal;
  }
  anchor_ = trace > 0 ? kAnchor * trace / double(n) : 1;
  for (Index i = 0; i < n; ++i) values[diagonal_slot_[i]] += anchor_;
  // The compressed rows of a symmetric matrix are its compressed columns. Eigen reads the lower triangle
  // only, which as rows is the upper one; both halves are kept equal.
  for (std::size_t e = 0; e < edges_.size(); ++e) {
    const double term = mean_of(edge_terms_[e]);
    values[edge_slot_[e]] += term;
    values[slot_of(K_.starts, K_.columns, edges_[e][0], edges_[e][1])] += term;
  }
  cholesky_.factorize(matrix_);
  if (!is_factorized(cholesky_)) {
    throw SolverError("the Cholesky factorisation failed: the template is too distorted");
  }
}

void DeformationSystem::multiply(double stiffness, const Points& x, Points& y) const {
  for (Index i = 0; i < x.rows(); ++i) {
    double sum[3] = {0, 0, 0};
    for (std::int32_t s = K_.starts[i]; s < K_.starts[i + 1]; ++s) {
      const double value = K_.values[s];
      const double* row = x.data() + 3 * Index(K_.columns[s]);
      for (int c = 0; c < 3; ++c) sum[c] += value * row[c];
    }
    const double* own = x.data() + 3 * i;
    double* out = y.data() + 3 * i;
    for (int c = 0; c < 3; ++c) out[c] = stiffness * sum[c] + anchor_ * own[c];
    multiply_add(vertex_terms_[std::size_t(i)], own, out);
  }
  for (std::size_t e = 0; e < edges_.size(); ++e) {
    const Index i = edges_[e][0], j = edges_[e][1];
    multiply_add(edge_terms_[e], x.data() + 3 * j, y.data() + 3 * i);
    multiply_add(edge_terms_[e], x.data() + 3 * i, y.data() + 3 * j);
  }
}

void DeformationSystem::precondition(const Points& r, Points& z) {
  const auto& place = cholesky_.permutationP().indices();
  for (Index i = 0; i < r.rows(); ++i) permuted_.row(place[i]) = r.row(i);
  solve_with_cholesky_factor<3>(cholesky_.matrixL().nestedExpression(), permuted_.data());
  for (Index i = 0; i < r.rows(); ++i) z.row(i) = permuted_.row(place[i]);
}

int DeformationSystem::solve(double stiffness, double tolerance, int max_iterations, Points& X) {
  // For the displacement u from rest: A u = right - (terms) rest.
  multiply(0, rest_, b_);
  for (Index i = 0; i < b_.size(); ++i) {
    b_.data()[i] = right_.data()[i] - b_.data()[i] + anchor_ * rest_.data()[i];
  }
  u_ = X - rest_;
  multiply(stiffness, u_, q_);
  r_ = b_ - q_;
  const double wanted = tolerance * tolerance * dot(b_, b_);
  double residual = dot(r_, r_);
  precondition(r_, z_);
  p_ = z_;
  double rz = dot(r_, z_);
  int iteration = 0;
  if (!std::isfinite(residual) || !std::isfinite(wanted)) {
    throw SolverError("the linear system is not finite: the options or the positions are too large");
  }
  for (; residual > wanted; ++iteration) {
    poll_interrupt();
    if (iteration == max_iterations) {
      std::ostringstream message;
      message << "conjugate gradients did not reach a relative residual of " << tolerance << " in "
              << max_iterations << " iterations";
      throw SolverError(message.str());
    }
    multiply(stiffness, p_, q_);
    const double pq = dot(p_, q_);
    if (!(pq > 0)) break;
    const double alpha = rz / pq;
    residual = 0;
    for (Index i = 0; i < u_.size(); ++i) {
      u_.data()[i] += alpha * p_.data()[i];
      const double r = r_.data()[i] -= alpha * q_.data()[i];
      residual += r * r;
    }
    precondition(r_, z_);
    const double next = dot(r_, z_), beta = next / rz;
    rz = next;
    for (Index i = 0; i < p_.size(); ++i) p_.data()[i] = z_.data()[i] + beta * p_.data()[i];
  }
  X = rest_ + u_;
  return iteration;
}

double DeformationSystem::thin_plate_energy(const Points& X) {
  u_ = X - rest_;
  double sum = 0;
  for (Index i = 0; i < u_.rows(); ++i) {
    for (std::int32_t s = K_.starts[i]; s < K_.starts[i + 1]; ++s) {
      sum += K_.values[s] * u_.row(i).dot(u_.row(K_.columns[s]));
    }
  }
  return sum;
}

}  // namespace facegeom::registration
