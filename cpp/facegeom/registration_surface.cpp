#include <facegeom/registrar.h>
#include <facegeom/unfold.h>

#include <Eigen/Cholesky>
#include <algorithm>
#include <array>
#include <cmath>

namespace facegeom {

namespace {

//! Pairs on each side for the rigid start.
constexpr Index kStartSamples = 1000;
constexpr int kMostStartIterations = 80;
//! The preconditioner is made anew when the stiffness has changed by this factor.
constexpr double kStale = 5;
//! Rounds of each degree of the polynomial that the whole shape is bent by before the membrane is let go.
constexpr std::array<int, 3> kBendRounds = {25, 25, 25};
//! While it bends, points slide along the target but for this weight, and are held a little where they are.
constexpr double kSlide = 0.02, kHold = 1e-4;

//! Monomials up to a degree (1 to 3) in the coordinates about the middle, in units of the size: (n, terms).
Rows monomials(PointsIn P, int degree) {
  const Eigen::RowVector3d middle = P.colwise().mean();
  const double size = (P.rowwise() - middle).norm() / std::sqrt(double(P.rows()));
  Rows A(P.rows(), degree == 1 ? 4 : degree == 2 ? 10 : 20);
  for (Index i = 0; i < P.rows(); ++i) {
    const Eigen::RowVector3d p = (P.row(i) - middle) / size;
    Index column = 0;
    for (int a = 0; a <= degree; ++a) {
      for (int b = 0; a + b <= degree; ++b) {
        for (int c = 0; a + b + c <= degree; ++c) {
          A(i, column++) = std::pow(p[0], a) * std::pow(p[1], b) * std::pow(p[2], c);
        }
      }
    }
  }
  return A;
}

}  // namespace

//! Closest points both ways, by the current map, until it rests.
AffineMap Registrar::align_surfaces(const TriangleTree& tree) const {
  AffineMap map;
  if (options_.alignment == StartAlignment::kNone) return map;
  const Alignment kind =
      options_.alignment == StartAlignment::kRigid ? Alignment::kRigid : Alignment::kSimilarity;
  const TriangleTree back(source_.V, source_.F);
  const Points N = vertex_normals(source_.V, source_.F);
  const double size = (source_.V.colwise().maxCoeff() - source_.V.colwise().minCoeff()).norm();
  map.shift = (target_.V.colwise().mean() - source_.V.colwise().mean()).transpose();
  const Index there = std::max<Index>(1, n_ / kStartSamples);
  const Index here = std::max<Index>(1, target_.V.rows() / kStartSamples);
  const Index most = n_ / there + target_.V.rows() / here + 2;
  Points P(most, 3), Q(most, 3);
  std::vector<double> squares, scratch;
  for (int iteration = 0; iteration < kMostStartIterations; ++iteration) {
    Index count = 0;
    const Eigen::Matrix3d turn = map.linear / std::cbrt(map.linear.determinant());
    for (Index i = 0; i < n_; i += there) {
      const Eigen::Vector3d p = map.linear * source_.V.row(i).transpose() + map.shift;
      const SurfacePoint found = tree.closest(p.data());
      if (on_border(found, target_.F, target_border_)) continue;
      if ((turn * N.row(i).transpose()).dot(mixed(target_N_, target_.F, found.face, found.weight)) < 0.3)
        continue;
      P.row(count) = source_.V.row(i);
      Q.row(count++) = mixed(target_.V, target_.F, found.face, found.weight);
    }
    const Eigen::Matrix3d inverse = map.linear.inverse();
    for (Index j = 0; j < target_.V.rows(); j += here) {
      const Eigen::Vector3d q = inverse * (target_.V.row(j).transpose() - map.shift);
      const SurfacePoint found = back.closest(q.data());
      if (on_border(found, source_.F, border_)) continue;
      if ((turn * mixed(N, source_.F, found.face, found.weight)).dot(target_N_.row(j).transpose()) < 0.3)
        continue;
      P.row(count) = mixed(source_.V, source_.F, found.face, found.weight);
      Q.row(count++) = target_.V.row(j);
    }
    squares.clear();
    for (Index k = 0; k < count; ++k) {
      squares.push_back((map.linear * P.row(k).transpose() + map.shift - Q.row(k).transpose()).squaredNorm());
    }
    scratch = squares;
    const double scale = std::max(9 * median(scratch), 1e-12 * size * size);
    Vector w(count);
    for (Index k = 0; k < count; ++k) w[k] = std::pow(scale / (scale + squares[std::size_t(k)]), 2);
    const AffineMap next = fit_alignment(P.topRows(count), Q.topRows(count), w, kind);
    const double change = (next.linear - map.linear).norm() * size +
                          (next.apply(source_.V.topRows(1)) - map.apply(source_.V.topRows(1))).norm();
    map = next;
    if (change < 2e-4 * size) break;
  }
  return map;
}

//! Each template vertex with the closest point of the target, and each target vertex with that of the
//! template.
void Registrar::pair_surfaces(const TriangleTree& tree) {
  pairs_.clear();
  const double cosine = std::cos(options_.max_angle);
  Index hint = 0;
  for (Index i = 0; i < n_; ++i) {
    if (!(weights_[i] > 0)) continue;
    const SurfacePoint found = tree.closest(X_.data() + 3 * i, hint);
    hint = found.face;
    if (on_border(found, target_.F, target_border_)) continue;
    const Eigen::Vector3d n = mixed(target_N_, target_.F, found.face, found.weight).normalized();
    if (N_.row(i).dot(n) < cosine) continue;
    const auto corner = std::max_element(found.weight, found.weight + 3) - found.weight;
    pairs_.push_back({-1,
                      i,
                      {1, 0, 0},
                      mixed(target_.V, target_.F, found.face, found.weight),
                      n,
                      target_.F(found.face, corner),
                      weights_[i],
                      1});
  }
  const TriangleTree back(X_, source_.F);
  const Index count = target_.V.rows();
  const Index stride = std::max<Index>(1, count / std::max<Index>(1, std::min(options_.max_samples, 2 * n_)));
  hint = 0;
  for (Index j = 0; j < count; j += stride) {
    const SurfacePoint found = back.closest(target_.V.data() + 3 * j, hint);
    hint = found.face;
    if (on_border(found, source_.F, border_)) continue;
    const Eigen::Vector3d n = target_N_.row(j).transpose();
    if (mixed(N_, source_.F, found.face, found.weight).dot(n) < cosine) continue;
    const auto corner = std::max_element(found.weight, found.weight + 3) - found.weight;
    double prior = 0;
    for (int k = 0; k < 3; ++k) prior += found.weight[k] * weights_[source_.F(found.face, k)];
    if (!(prior > 0)) continue;
    pairs_.push_back({found.face,
                      source_.F(found.face, corner),
                      {found.weight[0], found.weight[1], found.weight[2]},
                      target_.V.row(j).transpose(),
                      n,
                      j,
                      prior,
                      1});
  }
}

void Registrar::weigh_surfaces() {
  std::vector<double> misfit(pairs_.size());
  for (std::size_t k = 0; k < pairs_.size(); ++k) {
    const Eigen::Vector3d r = point(pairs_[k]) - pairs_[k].place;
    misfit[k] = r.squaredNorm();
  }
  scratch_ = misfit;
  const double floor = options_.noise_floor * edge_;
  const double scale = std::max(9 * median(scratch_), floor * floor);
  system_->clear();
  for (std::size_t k = 0; k < pairs_.size(); ++k) {
    Pair& pair = pairs_[k];
    const double kept = scale / (scale + misfit[k]);
    pair.use = misfit[k] <= options_.max_distance * options_.max_distance ? kept * kept : 0;
    const double weight = pair.prior * pair.use;
    const Symmetric3 W = spread(weight * options_.point_weight, weight * options_.plane_weight, pair.normal);
    if (pair.face < 0) {
      system_->add(pair.vertex, W, pair.place.data());
    } else {
      system_->add(pair.face, pair.weight, W, pair.place.data());
    }
  }
  add_landmarks(options_.point_weight + options_.plane_weight);
}

//! Bend the whole shape by polynomials of growing degree, Gauss-Newton steps on the distances to tangent
//! planes. A smooth field in space moves points along the surface as well, which no tangent plane sees, and
//! few numbers tell where to: they must be right before the membrane fixes each point to its neighbours.
void Registrar::bend(const TriangleTree& tree) {
  N_ = vertex_normals(X_, source_.F);
  for (int degree = 1; degree <= 3; ++degree) {
    const Rows A = monomials(X_, degree);
    const Index terms = A.cols();
    Eigen::RowVectorXd row(terms);
    for (int round = 0; round < kBendRounds[std::size_t(degree - 1)]; ++round) {
      pair_surfaces(tree);
      if (pairs_.size() < std::size_t(10 * terms)) return;
      scratch_.clear();
      for (const Pair& pair : pairs_) scratch_.push_back((point(pair) - pair.place).squaredNorm());
      const std::vector<double> squares = scratch_;
      const double scale = std::max(9 * median(scratch_), 1e-12 * edge_ * edge_);
      // Unknowns by coordinate, then by term; W couples the coordinates.
      std::array<Eigen::MatrixXd, 6> blocks;
      blocks.fill(Eigen::MatrixXd::Zero(terms, terms));
      Eigen::MatrixXd right = Eigen::MatrixXd::Zero(terms, 3);
      for (std::size_t k = 0; k < pairs_.size(); ++k) {
        const Pair& pair = pairs_[k];
        row.setZero();
        if (pair.face < 0) {
          row = A.row(pair.vertex);
        } else {
          for (int c = 0; c < 3; ++c) row += pair.weight[c] * A.row(source_.F(pair.face, c));
        }
        const double kept = scale / (scale + squares[k]);
        const double weight = pair.prior * kept * kept;
        const Symmetric3 W = spread(kSlide * weight, weight, pair.normal);
        for (std::size_t b = 0; b < 6; ++b) {
          blocks[b].selfadjointView<Eigen::Lower>().rankUpdate(row.transpose(), W[b]);
        }
        const Eigen::Vector3d r = pair.place - point(pair);
        const Eigen::RowVector3d pull = weight * (kSlide * r + pair.normal * pair.normal.dot(r)).transpose();
        right += row.transpose() * pull;
      }
      Eigen::MatrixXd system(3 * terms, 3 * terms);
      const int which[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};
      for (int a = 0; a < 3; ++a) {
        for (int b = 0; b < 3; ++b) {
          const Eigen::MatrixXd& block = blocks[std::size_t(which[a][b])];
          system.block(a * terms, b * terms, terms, terms) = block.selfadjointView<Eigen::Lower>();
        }
      }
      system.diagonal().array() += kHold * double(pairs_.size());
      const Eigen::VectorXd step = system.ldlt().solve(Eigen::Map<Eigen::VectorXd>(right.data(), 3 * terms));
      const Points change = A * Eigen::Map<const Eigen::MatrixXd>(step.data(), terms, 3);
      X_ += change;
      N_ = vertex_normals(X_, source_.F);
      if (change.norm() < 1e-2 * edge_ * std::sqrt(double(n_))) break;
    }
  }
}

Registration Registrar::by_surface() {
  const TriangleTree tree(target_.V, target_.F);
  X_ = align_surfaces(tree).apply(source_.V);
  if (options_.alignment == StartAlignment::kAffine) bend(tree);
  start(Points(X_));
  const double size = (X_.colwise().maxCoeff() - X_.colwise().minCoeff()).norm();
  const double area = mass_matrix(X_, source_.F).sum();
  const double resting = options_.motion_tolerance * edge_;
  double reach = options_.reach, factored = 0;
  for (int iteration = 0; iteration < options_.max_iterations; ++iteration) {
    pair_surfaces(tree);
    if (pairs_.size() < 4) throw std::invalid_argument("fewer than 4 points of the surfaces face each other");
    weigh_surfaces();
    // A membrane of this weight smooths over the length reach * size.
    const double stiffness = double(pairs_.size()) / area * std::pow(reach * size, 4);
    if (!(stiffness < kStale * factored && factored < kStale * stiffness)) {
      system_->factorize(stiffness);
      factored = stiffness;
    }
    RegistrationStep step{MatchKind::kPhysical, Index(pairs_.size()), reach, 0, 0, 0, 0, 0};
    step.solver_iterations = system_->solve(stiffness, options_.solver_tolerance, kMostSolverIterations, X_);
    N_ = vertex_normals(X_, source_.F);
    measure(step);
    const bool last = reach <= options_.least_reach;
    if (!finish_step(step)) break;
    if (last && out_.history.back().motion < resting) {
      out_.converged = true;
      out_.reason = "the vertices rest at the least reach";
      break;
    }
    reach = std::max(options_.least_reach, reach * options_.reach_decay);
  }
  record_matches(MatchKind::kPhysical);
  unfold(system_->rest(), source_.F, kFold, X_);
  out_.V = X_;
  return std::move(out_);
}

}  // namespace facegeom
