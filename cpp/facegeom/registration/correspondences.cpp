#include <facegeom/interrupt.h>
#include <facegeom/registration/correspondences.h>
#include <facegeom/registration/robust.h>
#include <facegeom/statistics.h>

#include <algorithm>
#include <cmath>

namespace facegeom::registration {

namespace {

//! Barycentric weights below this value are rounding errors of 0: the point lies on the opposite edge.
constexpr double kZeroWeight = 1e-9;
//! Of a large target, runs of this many consecutive vertices are kept and others dropped. Single vertices
//! would have no neighbours, from which estimate_noise measures the noise.
constexpr Index kRun = 8;
//! Maximum squared distance of a point on the template's embedding, as a fraction of a squared edge. Such
//! points are also accepted at the boundary.
constexpr double kOnSurface = 1e-8;
//! Target vertices farther from the template's embedding than this multiple of the median distance do not
//! show the template.
constexpr double kFarFromEmbedding = 5;
//! Minimum of this limit as a fraction of the mean edge of the embedding, so that exact embeddings lose no
//! correspondence.
constexpr double kNearEmbedding = 0.1;
//! Minimum number of correspondences: an affine alignment has 12 unknowns, 4 points with 3 coordinates each.
constexpr std::size_t kMinCorrespondences = 4;

//! Work of a search for a closest point, see WorkCounter.
constexpr Index kUnitsPerQuery = 1000;

//! Position of the largest of three weights.
int largest(const double* weight) { return int(std::max_element(weight, weight + 3) - weight); }

}  // namespace

bool on_boundary(const SurfacePoint& point, FacesIn F, const std::vector<char>& boundary) {
  bool edge = false;
  for (int k = 0; k < 3; ++k) {
    if (point.weight[k] < kZeroWeight) {
      edge = true;
    } else if (!boundary[std::size_t(F(point.face, k))]) {
      return false;
    }
  }
  return edge;
}

std::vector<Correspondence> correspond_by_embedding(const Problem& problem) {
  const EmbeddedMesh &source = problem.source, &target = problem.target;
  const TriangleTree tree(source.E, source.F);
  const Index count = target.V.rows(), d = target.E.cols();
  const Index stride = std::max<Index>(1, count / std::max<Index>(1, problem.options.max_samples));
  std::vector<Correspondence> pairs;
  pairs.reserve(std::size_t(count / stride + 1));
  std::vector<double> distances;
  WorkCounter work;
  Index hint = 0;
  for (Index j = 0; j < count; ++j) {
    if (j / kRun % stride != 0) continue;
    work.add(kUnitsPerQuery);
    const SurfacePoint found = tree.closest(target.E.data() + j * d, hint);
    hint = found.face;
    const double tolerance =
        kOnSurface *
        (source.E.row(source.F(found.face, 1)) - source.E.row(source.F(found.face, 0))).squaredNorm();
    if (found.squared_distance > tolerance && on_boundary(found, source.F, problem.source_boundary)) continue;
    double prior = 0;
    for (int k = 0; k < 3; ++k) prior += found.weight[k] * problem.weights[source.F(found.face, k)];
    if (!(prior > 0)) continue;
    pairs.push_back({found.face,
                     source.F(found.face, largest(found.weight)),
                     {found.weight[0], found.weight[1], found.weight[2]},
                     target.V.row(j).transpose(),
                     problem.target_N.row(j).transpose(),
                     j,
                     prior});
    distances.push_back(std::sqrt(found.squared_distance));
  }
  std::vector<double> reordered = distances;
  keep_up_to(std::max(kFarFromEmbedding * upper_median(reordered), kNearEmbedding * problem.embedding_edge),
             distances, pairs);
  if (pairs.size() < kMinCorrespondences) {
    throw std::invalid_argument("fewer than 4 target vertices correspond to the template");
  }
  return pairs;
}

std::vector<Correspondence> correspond_by_surface(const Problem& problem, const TargetSurface& surface,
                                                  const State& state) {
  const EmbeddedMesh &source = problem.source, &target = problem.target;
  const Index n = problem.size();
  const double cosine = std::cos(problem.options.max_angle);
  const Index count = target.V.rows();
  const Index samples = std::max<Index>(1, std::min(problem.options.max_samples, 2 * n));
  const Index stride = std::max<Index>(1, count / samples);
  std::vector<Correspondence> pairs;
  pairs.reserve(std::size_t(n + count / stride + 1));
  WorkCounter work;
  Index hint = 0;
  for (Index i = 0; i < n; ++i) {
    work.add(kUnitsPerQuery);
    if (!(problem.weights[i] > 0)) continue;
    const SurfacePoint found = surface.tree.closest(state.X.data() + 3 * i, hint);
    hint = found.face;
    if (on_boundary(found, target.F, surface.boundary)) continue;
    const Eigen::Vector3d normal =
        interpolate(problem.target_N, target.F, found.face, found.weight).normalized();
    if (state.N.row(i).dot(normal) < cosine) continue;
    pairs.push_back({-1,
                     i,
                     {1, 0, 0},
                     interpolate(target.V, target.F, found.face, found.weight),
                     normal,
                     target.F(found.face, largest(found.weight)),
                     problem.weights[i]});
  }
  const TriangleTree tree(state.X, source.F);
  hint = 0;
  for (Index j = 0; j < count; j += stride) {
    work.add(kUnitsPerQuery);
    const SurfacePoint found = tree.closest(target.V.data() + 3 * j, hint);
    hint = found.face;
    if (on_boundary(found, source.F, problem.source_boundary)) continue;
    const Eigen::Vector3d normal = problem.target_N.row(j).transpose();
    if (interpolate(state.N, source.F, found.face, found.weight).dot(normal) < cosine) continue;
    double prior = 0;
    for (int k = 0; k < 3; ++k) prior += found.weight[k] * problem.weights[source.F(found.face, k)];
    if (!(prior > 0)) continue;
    pairs.push_back({found.face,
                     source.F(found.face, largest(found.weight)),
                     {found.weight[0], found.weight[1], found.weight[2]},
                     target.V.row(j).transpose(),
                     normal,
                     j,
                     prior});
  }
  return pairs;
}

std::vector<Correspondence> correspond_by_vertex(const Problem& problem, const State& state,
                                                 const Nearest& nearest) {
  const EmbeddedMesh& target = problem.target;
  const double cosine = std::cos(problem.options.max_angle);
  std::vector<Correspondence> pairs;
  for (Index i = 0; i < problem.size(); ++i) {
    const Index j = nearest.index[i];
    const double distance = (target.V.row(j) - state.X.row(i)).norm();
    if (!(problem.weights[i] > 0) || distance > problem.options.max_distance) continue;
    if (state.N.row(i).dot(problem.target_N.row(j)) < cosine) continue;
    pairs.push_back({-1,
                     i,
                     {1, 0, 0},
                     target.V.row(j).transpose(),
                     problem.target_N.row(j).transpose(),
                     j,
                     problem.weights[i]});
  }
  return pairs;
}

void keep_up_to(double limit, const std::vector<double>& values, std::vector<Correspondence>& pairs) {
  std::size_t kept = 0;
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    if (values[k] <= limit) pairs[kept++] = pairs[k];
  }
  pairs.resize(kept);
}

}  // namespace facegeom::registration
