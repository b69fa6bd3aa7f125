#include <facegeom/registrar.h>

#include <cmath>

namespace facegeom {

namespace {

constexpr Index kPaperSamples = 1000;
constexpr double kPaperInlier = 3;  // mm
constexpr int kMostInnerIterations = 50;

}  // namespace

//! The pairs of step 2: not farther apart than the limit, and of normals that agree.
Index Registrar::pair_vertices(const Nearest& found, const Points& places) {
  pairs_.clear();
  const double cosine = std::cos(options_.max_angle);
  for (Index i = 0; i < n_; ++i) {
    const Index j = found.index[i];
    if (!(weights_[i] > 0) || (places.row(j) - X_.row(i)).norm() > options_.max_distance) continue;
    if (N_.row(i).dot(target_N_.row(j)) < cosine) continue;
    pairs_.push_back(
        {-1, i, {1, 0, 0}, places.row(j).transpose(), target_N_.row(j).transpose(), j, weights_[i], 1});
  }
  return Index(pairs_.size());
}

//! The loop of the paper, step by step.
Registration Registrar::by_vertices() {
  const Points places = target_.V;
  const PointTree physical(target_.V);
  const bool embedded = target_.E.cols() > 0;
  Nearest found{Indices(n_), Vector(n_)};
  Points aligned = source_.V;
  if (embedded) {
    found = PointTree(target_.E).nearest(source_.E);
    if (options_.alignment != StartAlignment::kNone) {
      Points matched(n_, 3);
      for (Index i = 0; i < n_; ++i) matched.row(i) = places.row(found.index[i]);
      aligned = ransac_alignment(source_.V, matched, alignment_of(options_.alignment),
                                 {kPaperSamples, kPaperInlier, options_.seed, 4})
                    .map.apply(source_.V);
    }
  } else {
    aligned = align_surfaces(TriangleTree(target_.V, target_.F)).apply(source_.V);
  }
  start(aligned);
  double stiffness = options_.stiffness, factored = 0;
  MatchKind kind = embedded ? MatchKind::kEmbedding : MatchKind::kPhysical;
  Index before = 0;
  Points inner;
  for (int iteration = 0; iteration < options_.max_iterations; ++iteration) {
    if (kind == MatchKind::kPhysical) found = physical.nearest(X_);
    const Index count = pair_vertices(found, places);
    system_->clear();
    for (const Pair& pair : pairs_) {
      system_->add(
          pair.vertex,
          spread(pair.prior * options_.point_weight, pair.prior * options_.plane_weight, pair.normal),
          pair.place.data());
    }
    add_landmarks(options_.point_weight + options_.plane_weight);
    const double weight = stiffness * options_.stiffness_unit;
    if (weight != factored) {
      system_->factorize(weight);
      factored = weight;
    }
    RegistrationStep step{kind, count, stiffness, 0, 0, 0, 0, 0};
    for (int round = 0; round < kMostInnerIterations; ++round) {
      inner = X_;
      step.solver_iterations += system_->solve(weight, options_.solver_tolerance, kMostSolverIterations, X_);
      if ((X_ - inner).norm() < options_.inner_tolerance) break;
    }
    N_ = vertex_normals(X_, source_.F);
    measure(step);
    if (!finish_step(step)) break;
    if (out_.history.back().motion < options_.motion_tolerance) stiffness /= 2;
    if (stiffness < options_.least_stiffness) {
      out_.converged = true;
      out_.reason = "the stiffness fell below its least";
      break;
    }
    if (iteration > 0 && std::abs(count - before) < options_.switch_matches) kind = MatchKind::kPhysical;
    before = count;
  }
  record_matches(out_.history.empty() ? kind : out_.history.back().kind);
  out_.V = X_;
  return std::move(out_);
}

}  // namespace facegeom
