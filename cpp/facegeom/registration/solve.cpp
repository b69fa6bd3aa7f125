#include <facegeom/laplacian.h>
#include <facegeom/registration/correspondences.h>
#include <facegeom/registration/orientation.h>
#include <facegeom/registration/solve.h>
#include <facegeom/registration/start.h>
#include <facegeom/registration/stop.h>
#include <facegeom/registration/system.h>
#include <facegeom/registration/terms.h>
#include <facegeom/registration/unfold.h>

#include <algorithm>
#include <cmath>

namespace facegeom::registration {

namespace {

//! Maximum number of conjugate gradient iterations; ten to a hundred are usual.
constexpr int kMaxSolverIterations = 2000;
//! An edge whose dihedral angle has grown by more than this (radians, 100 degrees) is a fold.
constexpr double kFoldAngle = 1.75;
//! Maximum ratio of the stiffness to the stiffness of the preconditioner, or its inverse, before the
//! preconditioner is factorised again.
constexpr double kMaxStiffnessRatio = 5;
//! Minimum number of correspondences of surfaces: with fewer than 4 points even an affine map is not
//! determined.
constexpr std::size_t kMinPairs = 4;
//! RANSAC of the paper's loop: number of samples, and the distance up to which a pair is an inlier, in mm.
constexpr Index kPaperSamples = 1000;
constexpr double kPaperInlierDistance = 3;
constexpr Index kPaperMinInliers = 4;
//! Maximum number of inner iterations of the paper's loop.
constexpr int kMaxInnerIterations = 50;

//! State with the aligned template.
State started(const Problem& problem, const AffineMap& map) {
  State state;
  const bool fixed = problem.options.alignment == StartAlignment::kNone;
  set_positions(problem, fixed ? Points(problem.source.V) : map.apply(problem.source.V), state);
  state.previous = state.X;
  state.edge = mean_edge_length(state.X, problem.source.F);
  return state;
}

int solve(const Problem& problem, double stiffness, DeformationSystem& system, State& state) {
  return system.solve(stiffness, problem.options.solver_tolerance, kMaxSolverIterations, state.X);
}

//! Map of the template to the nearest target vertices in the embedding, by RANSAC.
AffineMap align_by_ransac(const Problem& problem, const Nearest& nearest) {
  const RegistrationOptions& options = problem.options;
  const PointsIn& V = problem.source.V;
  if (options.alignment == StartAlignment::kNone) return {};
  Points matched(V.rows(), 3);
  for (Index i = 0; i < V.rows(); ++i) matched.row(i) = problem.target.V.row(nearest.index[i]);
  const RansacOptions ransac{kPaperSamples, kPaperInlierDistance, options.seed, kPaperMinInliers};
  return ransac_alignment(V, matched, alignment_of(options.alignment), ransac).map;
}

}  // namespace

Registration solve_by_embedding(const Problem& problem, const Progress& progress) {
  const RegistrationOptions& options = problem.options;
  std::vector<Correspondence> pairs = correspond_by_embedding(problem);
  Registration out;
  out.alignment = align_to_correspondences(problem, pairs);
  State state = started(problem, out.alignment);
  OrientationCheck orientation(std::cos(options.max_angle));
  for (const Correspondence& pair : pairs) {
    orientation.add(value_at(pair, state.N, problem.source.F).normalized().dot(pair.target_normal));
  }
  orientation.require(problem, out.alignment.linear.determinant() < 0);
  state.correspondences = std::move(pairs);
  DeformationSystem system(state.X, problem.source.F);
  const Noise noise = estimate_noise(problem, state);
  const double motion_limit = options.motion_tolerance * state.edge;
  for (int iteration = 0; iteration < options.max_iterations; ++iteration) {
    set_embedded_terms(problem, noise, iteration > 0, state, system);
    if (iteration == 0) system.factorize(options.stiffness);
    RegistrationStep step{MatchKind::kEmbedding, Index(state.correspondences.size()), options.stiffness};
    step.solver_iterations = solve(problem, options.stiffness, system, state);
    set_positions(problem, state.X, state);
    if (!record_step(problem, progress, step, state, system, out)) break;
    if (out.history.back().motion < motion_limit) {
      converge("the motion fell below its tolerance", out);
      break;
    }
  }
  unfold(system.rest(), problem.source.F, kFoldAngle, state.X);
  store_result(problem, state, MatchKind::kEmbedding, out);
  return out;
}

Registration solve_by_shape(const Problem& problem, const Progress& progress) {
  const RegistrationOptions& options = problem.options;
  const EmbeddedMesh& source = problem.source;
  const TargetSurface target(problem.target);
  Registration out;
  out.alignment = align_surfaces(problem, target);
  State state = started(problem, out.alignment);
  if (options.alignment == StartAlignment::kAffine) bend(problem, target, state);
  state.previous = state.X;
  DeformationSystem system(state.X, source.F);
  const double size = (state.X.colwise().maxCoeff() - state.X.colwise().minCoeff()).norm();
  const double area = mass_matrix(state.X, source.F).sum();
  const double motion_limit = options.motion_tolerance * state.edge;
  double reach = options.reach, factorized = 0;
  for (int iteration = 0; iteration < options.max_iterations; ++iteration) {
    state.correspondences = correspond_by_surface(problem, target, state);
    const std::size_t count = state.correspondences.size();
    if (count < kMinPairs) {
      throw std::invalid_argument("fewer than 4 points of the surfaces correspond");
    }
    set_surface_terms(problem, state, system);
    // A thin plate of this stiffness smooths over the length reach * size.
    const double stiffness = double(count) / area * std::pow(reach * size, 4);
    if (!(stiffness < kMaxStiffnessRatio * factorized && factorized < kMaxStiffnessRatio * stiffness)) {
      system.factorize(stiffness);
      factorized = stiffness;
    }
    RegistrationStep step{MatchKind::kPhysical, Index(count), reach};
    step.solver_iterations = solve(problem, stiffness, system, state);
    set_positions(problem, state.X, state);
    if (!record_step(problem, progress, step, state, system, out)) break;
    if (reach <= options.least_reach && out.history.back().motion < motion_limit) {
      converge("the motion fell below its tolerance at the least reach", out);
      break;
    }
    reach = std::max(options.least_reach, reach * options.reach_decay);
  }
  unfold(system.rest(), source.F, kFoldAngle, state.X);
  store_result(problem, state, MatchKind::kPhysical, out);
  return out;
}

Registration solve_by_vertex(const Problem& problem, const Progress& progress) {
  const RegistrationOptions& options = problem.options;
  const EmbeddedMesh &source = problem.source, &target = problem.target;
  const PointTree physical(target.V);
  const bool embedded = target.E.cols() > 0;
  Nearest nearest;
  Registration out;
  if (embedded) {
    nearest = PointTree(target.E).nearest(source.E);
    out.alignment = align_by_ransac(problem, nearest);
  } else {
    out.alignment = align_surfaces(problem, TargetSurface(target));
  }
  State state = started(problem, out.alignment);
  if (embedded) {
    OrientationCheck orientation(std::cos(options.max_angle));
    for (Index i = 0; i < problem.size(); ++i) {
      orientation.add(state.N.row(i).dot(problem.target_N.row(nearest.index[i])));
    }
    orientation.require(problem, out.alignment.linear.determinant() < 0);
  }
  DeformationSystem system(state.X, source.F);
  MatchKind kind = embedded ? MatchKind::kEmbedding : MatchKind::kPhysical;
  double stiffness = options.stiffness, factorized = 0;
  Index previous_count = 0;
  Points inner;
  for (int iteration = 0; iteration < options.max_iterations; ++iteration) {
    if (kind == MatchKind::kPhysical) nearest = physical.nearest(state.X);
    state.correspondences = correspond_by_vertex(problem, state, nearest);
    const auto count = Index(state.correspondences.size());
    set_vertex_terms(problem, state, system);
    const double weight = stiffness * options.stiffness_unit;
    if (weight != factorized) {
      system.factorize(weight);
      factorized = weight;
    }
    RegistrationStep step{kind, count, stiffness};
    for (int round = 0; round < kMaxInnerIterations; ++round) {
      inner = state.X;
      step.solver_iterations += solve(problem, weight, system, state);
      if ((state.X - inner).norm() < options.inner_tolerance) break;
    }
    set_positions(problem, state.X, state);
    if (!record_step(problem, progress, step, state, system, out)) break;
    if (out.history.back().motion < options.motion_tolerance) stiffness /= 2;
    if (stiffness < options.least_stiffness) {
      converge("the stiffness fell below its least value", out);
      break;
    }
    if (iteration > 0 && std::abs(count - previous_count) < options.switch_matches) {
      kind = MatchKind::kPhysical;
    }
    previous_count = count;
  }
  store_result(problem, state, out.history.empty() ? kind : out.history.back().kind, out);
  return out;
}

}  // namespace facegeom::registration
