#include <facegeom/registrar.h>
#include <facegeom/unfold.h>

#include <algorithm>
#include <cmath>

namespace facegeom {

namespace {

//! Noise across the surface is taken to be no less than this share of that along it.
constexpr double kCurvedShare = 0.25;
//! A large target is thinned out by runs of neighbours: single vertices would tell nothing of the noise.
constexpr Index kRun = 8;
//! Squared share of an edge up to which a point counts as lying on the template, at its border as well.
constexpr double kOnSurface = 1e-8;

}  // namespace

//! Robust fit of the wanted kind to the pairs: least squares, weighted anew by the residuals' median.
Points Registrar::align_pairs() {
  if (options_.alignment == StartAlignment::kNone) return source_.V;
  Points P(Index(pairs_.size()), 3), Q(P.rows(), 3);
  Vector w(P.rows());
  for (Index k = 0; k < P.rows(); ++k) {
    const Pair& pair = pairs_[std::size_t(k)];
    P.row(k) = mixed(source_.V, source_.F, pair.face, pair.weight);
    Q.row(k) = pair.place;
    w[k] = pair.prior;
  }
  AffineMap map;
  for (int round = 0; round < 5; ++round) {
    map = fit_alignment(P, Q, w, alignment_of(options_.alignment));
    scratch_.clear();
    for (Index k = 0; k < P.rows(); ++k) {
      scratch_.push_back(
          (map.linear * P.row(k).transpose() + map.shift - Q.row(k).transpose()).squaredNorm());
    }
    std::vector<double> squares = scratch_;
    const double scale = std::max(4 * median(scratch_), 1e-12 * edge_ * edge_);
    for (Index k = 0; k < P.rows(); ++k) {
      const double kept = scale / (scale + squares[std::size_t(k)]);
      w[k] = pairs_[std::size_t(k)].prior * kept * kept;
    }
  }
  return map.apply(source_.V);
}

//! Each target vertex with the point of the template whose embedding is closest.
void Registrar::embed_pairs() {
  const TriangleTree tree(source_.E, source_.F);
  const Index count = target_.V.rows(), d = target_.E.cols();
  const Index stride = std::max<Index>(1, count / std::max<Index>(1, options_.max_samples));
  pairs_.reserve(std::size_t(count / stride + 1));
  std::vector<double> distances;
  Index hint = 0;
  for (Index j = 0; j < count; ++j) {
    if (j / kRun % stride != 0) continue;
    const SurfacePoint found = tree.closest(target_.E.data() + j * d, hint);
    hint = found.face;
    const double tolerance =
        kOnSurface *
        (source_.E.row(source_.F(found.face, 1)) - source_.E.row(source_.F(found.face, 0))).squaredNorm();
    if (found.squared_distance > tolerance && on_border(found, source_.F, border_)) continue;
    Pair pair{found.face,
              0,
              {found.weight[0], found.weight[1], found.weight[2]},
              target_.V.row(j).transpose(),
              target_N_.row(j).transpose(),
              j,
              0,
              1};
    int corner = 0;
    for (int k = 0; k < 3; ++k) {
      pair.prior += pair.weight[k] * weights_[source_.F(found.face, k)];
      if (pair.weight[k] > pair.weight[corner]) corner = k;
    }
    pair.vertex = source_.F(found.face, corner);
    if (!(pair.prior > 0)) continue;
    pairs_.push_back(pair);
    distances.push_back(std::sqrt(found.squared_distance));
  }
  // What lies off the template's embedding by much more than most does not belong to it.
  scratch_ = distances;
  const double limit = std::max(5 * median(scratch_), 0.1 * edge_);
  std::size_t kept = 0;
  for (std::size_t k = 0; k < pairs_.size(); ++k) {
    if (distances[k] <= limit) pairs_[kept++] = pairs_[k];
  }
  pairs_.resize(kept);
  if (kept < 4) throw std::invalid_argument("fewer than 4 target vertices correspond to the template");
}

//! Noise along and across the surface: how far each displacement lies from the mean of its neighbours'. Pairs
//! that differ from them by much more than most are dropped.
void Registrar::estimate_noise() {
  const Index count = target_.V.rows();
  std::vector<std::int32_t> pair_of(std::size_t(count), -1);
  Points displacement(Index(pairs_.size()), 3), sum = Points::Zero(displacement.rows(), 3);
  Vector degree = Vector::Zero(displacement.rows());
  for (std::size_t k = 0; k < pairs_.size(); ++k) {
    pair_of[std::size_t(pairs_[k].target)] = std::int32_t(k);
    displacement.row(Index(k)) = pairs_[k].place - point(pairs_[k]);
  }
  for (Index f = 0; f < target_.F.rows(); ++f) {
    for (int c = 0; c < 3; ++c) {
      const std::int32_t a = pair_of[std::size_t(target_.F(f, c))];
      const std::int32_t b = pair_of[std::size_t(target_.F(f, (c + 1) % 3))];
      if (a < 0 || b < 0) continue;
      sum.row(a) += displacement.row(b);
      degree[a] += 1;
    }
  }
  std::vector<double> along, across, all(pairs_.size(), 0);
  for (std::size_t k = 0; k < pairs_.size(); ++k) {
    const double near = degree[Index(k)];
    if (near < 1) continue;
    const Eigen::Vector3d r =
        (displacement.row(Index(k)) - sum.row(Index(k)) / near) / std::sqrt(1 + 1 / near);
    const Eigen::Vector3d n = normal(pairs_[k]).normalized();
    const double off = n.dot(r);
    across.push_back(off * off);
    along.push_back(r.squaredNorm() - off * off);
    if (near >= 3) all[k] = r.squaredNorm();
  }
  // Medians of chi squared with two and one degrees of freedom.
  const double floor = options_.noise_floor * edge_;
  tangent_noise_ = std::max(std::sqrt(median(along) / 1.386), floor);
  // Noise along a curved surface moves points off it as well.
  normal_noise_ = std::max({std::sqrt(median(across) / 0.455), kCurvedShare * tangent_noise_, floor});
  const double limit = 36 * (2 * tangent_noise_ * tangent_noise_ + normal_noise_ * normal_noise_);
  std::size_t kept = 0;
  for (std::size_t k = 0; k < pairs_.size(); ++k) {
    if (all[k] <= limit) pairs_[kept++] = pairs_[k];
  }
  pairs_.resize(kept);
}

//! Add the pairs to the system, each by the inverse of the noise along and across the surface.
void Registrar::weigh_embedded(bool robust) {
  const double along = 1 / (tangent_noise_ * tangent_noise_), across = 1 / (normal_noise_ * normal_noise_);
  std::vector<Eigen::Vector3d> normals(pairs_.size());
  std::vector<double> misfit(pairs_.size());
  for (std::size_t k = 0; k < pairs_.size(); ++k) {
    const Pair& pair = pairs_[k];
    Eigen::Vector3d n = normal(pair);
    // Between both normals the plane errs neither inward nor outward on a curved surface.
    if (n.dot(pair.normal) > 0) n = n.normalized() + pair.normal;
    normals[k] = n.normalized();
    const Eigen::Vector3d r = point(pair) - pair.place;
    const double off = normals[k].dot(r);
    misfit[k] = along * (r.squaredNorm() - off * off) + across * off * off;
  }
  scratch_ = misfit;
  const double scale = std::max(9.0, 9 * median(scratch_) / 2.366);
  const double cosine = std::cos(options_.max_angle);
  system_->clear();
  for (std::size_t k = 0; k < pairs_.size(); ++k) {
    Pair& pair = pairs_[k];
    const double kept = scale / (scale + misfit[k]);
    pair.use = robust ? kept * kept : 1;
    if (normal(pair).normalized().dot(pair.normal) < cosine) pair.use = 0;
    const double weight = pair.prior * pair.use;
    system_->add(pair.face, pair.weight, spread(weight * along, weight * (across - along), normals[k]),
                 pair.place.data());
  }
  add_landmarks(along);
}

Registration Registrar::by_embedded_surface() {
  embed_pairs();
  start(align_pairs());
  estimate_noise();
  double stiffness = options_.stiffness;
  const double resting = options_.motion_tolerance * edge_;
  for (int iteration = 0; iteration < options_.max_iterations; ++iteration) {
    weigh_embedded(iteration > 0);
    if (iteration == 0) system_->factorize(stiffness);
    RegistrationStep step{MatchKind::kEmbedding, Index(pairs_.size()), stiffness, 0, 0, 0, 0, 0};
    step.solver_iterations = system_->solve(stiffness, options_.solver_tolerance, kMostSolverIterations, X_);
    N_ = vertex_normals(X_, source_.F);
    measure(step);
    if (!finish_step(step)) break;
    if (out_.history.back().motion < resting) {
      out_.converged = true;
      out_.reason = "the vertices rest";
      break;
    }
  }
  record_matches(MatchKind::kEmbedding);
  unfold(system_->rest(), source_.F, kFold, X_);
  out_.V = X_;
  return std::move(out_);
}

}  // namespace facegeom
