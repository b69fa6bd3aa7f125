#include <facegeom/interrupt.h>
#include <facegeom/normals.h>
#include <facegeom/registration/correspondences.h>
#include <facegeom/registration/orientation.h>
#include <facegeom/registration/robust.h>
#include <facegeom/registration/start.h>
#include <facegeom/registration/system.h>

#include <Eigen/Cholesky>
#include <algorithm>
#include <array>
#include <cmath>

namespace facegeom::registration {

namespace {

//! Number of iterations of reweighted least squares; the weights converge in three to four.
constexpr int kReweightings = 5;
//! Scale of the robust weight in multiples of the median squared residual: two, and three, median residuals.
constexpr double kCorrespondenceScale = 4, kSurfaceScale = 9;
//! Minimum scale of the robust weight as a fraction of a squared length (of an edge, or of the template), so
//! that an exact fit does not divide by zero.
constexpr double kMinScale = 1e-12;

//! Number of points that align_surfaces samples on each surface, and maximum number of its iterations.
constexpr Index kIcpSamples = 1000;
constexpr int kMaxIcpIterations = 80;
//! align_surfaces ends when the map changes by less than this fraction of the template's size.
constexpr double kIcpTolerance = 2e-4;
//! Cosine of the largest angle between corresponding normals in align_surfaces, about 72 degrees: the start
//! may be turned by 25 degrees, and only points on the other side of a thin part must be rejected.
constexpr double kIcpCosine = 0.3;

//! Minimum number of landmarks whose similarity is the start of align_surfaces.
constexpr Index kMinStartLandmarks = 3;
//! Ratio of the sizes from which align_surfaces starts with equal sizes: the meshes have different units.
constexpr double kMaxSizeRatio = 3;

//! Maximum number of iterations of bend for each degree.
constexpr int kMaxBendIterations = 25;
//! Weight of the motion along the target in bend relative to the motion along the normal: points slide almost
//! freely.
constexpr double kTangentWeight = 0.02;
//! Regularisation of bend: weight of the squared coefficients as a fraction of the number of correspondences.
constexpr double kRegularization = 1e-4;
//! Minimum number of correspondences per polynomial term in bend.
constexpr Index kPairsPerTerm = 10;
//! bend goes to the next degree when the root mean square motion is below this fraction of the mean edge.
constexpr double kBendTolerance = 1e-2;

//! Monomials up to a degree (1 to 3) in the coordinates relative to the centroid, in units of the root mean
//! square radius: (n, terms).
Rows monomials(PointsIn P, int degree) {
  const Eigen::RowVector3d centroid = P.colwise().mean();
  const double radius = (P.rowwise() - centroid).norm() / std::sqrt(double(P.rows()));
  Rows A(P.rows(), degree == 1 ? 4 : degree == 2 ? 10 : 20);
  for (Index i = 0; i < P.rows(); ++i) {
    const Eigen::RowVector3d p = (P.row(i) - centroid) / radius;
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

double squared_residual(const AffineMap& map, const Points& P, const Points& Q, Index k) {
  return (map.linear * P.row(k).transpose() + map.shift - Q.row(k).transpose()).squaredNorm();
}

//! Corresponding points P of the template and Q of the target by closest points in both directions.
struct ClosestPairs {
  Points P, Q;
  Index count;  //!< rows in use

  explicit ClosestPairs(Index capacity) : P(capacity, 3), Q(capacity, 3), count(0) {}
  void add(const Eigen::Vector3d& p, const Eigen::Vector3d& q) {
    P.row(count) = p.transpose();
    Q.row(count++) = q.transpose();
  }
};

//! Coefficients (terms, 3) of one Gauss-Newton step of bend, for the monomials A of the template's vertices
//! and the squared residuals, with the scale of their robust weights.
Eigen::MatrixXd polynomial_step(const Problem& problem, const State& state, const Rows& A,
                                const std::vector<double>& squares, double scale) {
  const Index terms = A.cols();
  // Unknowns by coordinate, then by term; the six blocks are those of a symmetric 3 x 3 block matrix.
  std::array<Eigen::MatrixXd, 6> blocks;
  blocks.fill(Eigen::MatrixXd::Zero(terms, terms));
  Eigen::MatrixXd right = Eigen::MatrixXd::Zero(terms, 3);
  Eigen::RowVectorXd row(terms);
  WorkCounter work;
  for (std::size_t k = 0; k < state.correspondences.size(); ++k) {
    work.add(terms * terms);
    const Correspondence& pair = state.correspondences[k];
    row.setZero();
    if (pair.face < 0) {
      row = A.row(pair.vertex);
    } else {
      for (int c = 0; c < 3; ++c) row += pair.barycentric[c] * A.row(problem.source.F(pair.face, c));
    }
    const double weight = geman_mcclure_weight(squares[k], scale, pair.prior);
    const Symmetric3 W = point_plane_matrix(kTangentWeight * weight, weight, pair.target_normal);
    for (std::size_t b = 0; b < 6; ++b) {
      blocks[b].selfadjointView<Eigen::Lower>().rankUpdate(row.transpose(), W[b]);
    }
    const Eigen::Vector3d r = pair.target_point - value_at(pair, state.X, problem.source.F);
    const Eigen::RowVector3d pull =
        weight * (kTangentWeight * r + pair.target_normal * pair.target_normal.dot(r)).transpose();
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
  system.diagonal().array() += kRegularization * double(state.correspondences.size());
  const Eigen::VectorXd step = system.ldlt().solve(Eigen::Map<Eigen::VectorXd>(right.data(), 3 * terms));
  return Eigen::Map<const Eigen::MatrixXd>(step.data(), terms, 3);
}

double diagonal(PointsIn V) { return (V.colwise().maxCoeff() - V.colwise().minCoeff()).norm(); }

//! Map from which align_surfaces starts.
AffineMap start_of_surfaces(const Problem& problem, Alignment kind) {
  const EmbeddedMesh &source = problem.source, &target = problem.target;
  const Landmarks& landmarks = problem.landmarks;
  if (landmarks.vertex.size() >= kMinStartLandmarks) {
    Points P(landmarks.vertex.size(), 3);
    for (Index k = 0; k < P.rows(); ++k) P.row(k) = source.V.row(landmarks.vertex[k]);
    try {
      return fit_alignment(P, landmarks.place, landmarks.weight, kind);
    } catch (const std::invalid_argument&) {
      // The landmarks lie on a line: the centroids remain.
    }
  }
  AffineMap map;
  const double ratio = diagonal(target.V) / diagonal(source.V);
  if (kind == Alignment::kSimilarity && ratio > 0 && !std::isinf(ratio) &&
      !(ratio < kMaxSizeRatio && kMaxSizeRatio * ratio > 1)) {
    map.linear *= ratio;
    map.shift = (target.V.colwise().mean() - ratio * source.V.colwise().mean()).transpose();
    return map;
  }
  map.shift = (target.V.colwise().mean() - source.V.colwise().mean()).transpose();
  return map;
}

}  // namespace

Alignment alignment_of(StartAlignment start) {
  return start == StartAlignment::kAffine       ? Alignment::kAffine
         : start == StartAlignment::kSimilarity ? Alignment::kSimilarity
                                                : Alignment::kRigid;
}

AffineMap align_to_correspondences(const Problem& problem, const std::vector<Correspondence>& pairs) {
  const EmbeddedMesh& source = problem.source;
  if (problem.options.alignment == StartAlignment::kNone) return {};
  Points P(Index(pairs.size()), 3), Q(P.rows(), 3);
  Vector w(P.rows());
  for (Index k = 0; k < P.rows(); ++k) {
    const Correspondence& pair = pairs[std::size_t(k)];
    P.row(k) = interpolate(source.V, source.F, pair.face, pair.barycentric);
    Q.row(k) = pair.target_point;
    w[k] = pair.prior;
  }
  const double edge = mean_edge_length(source.V, source.F), floor = kMinScale * edge * edge;
  AffineMap map;
  std::vector<double> squares(pairs.size());
  for (int round = 0; round < kReweightings; ++round) {
    map = fit_alignment(P, Q, w, alignment_of(problem.options.alignment));
    for (Index k = 0; k < P.rows(); ++k) squares[std::size_t(k)] = squared_residual(map, P, Q, k);
    const double scale = robust_scale(squares, kCorrespondenceScale, floor);
    for (Index k = 0; k < P.rows(); ++k) {
      w[k] = geman_mcclure_weight(squares[std::size_t(k)], scale, pairs[std::size_t(k)].prior);
    }
  }
  return map;
}

AffineMap align_surfaces(const Problem& problem, const TargetSurface& surface) {
  const EmbeddedMesh &source = problem.source, &target = problem.target;
  AffineMap map;
  if (problem.options.alignment == StartAlignment::kNone) return map;
  const Alignment kind =
      problem.options.alignment == StartAlignment::kRigid ? Alignment::kRigid : Alignment::kSimilarity;
  const TriangleTree source_tree(source.V, source.F);
  const Points N = vertex_normals(source.V, source.F);
  map = start_of_surfaces(problem, kind);
  const double size =
      diagonal(source.V) * (map.linear.isIdentity(0) ? 1 : std::cbrt(map.linear.determinant()));
  const Index n = problem.size(), target_n = target.V.rows();
  const Index source_stride = std::max<Index>(1, n / kIcpSamples);
  const Index target_stride = std::max<Index>(1, target_n / kIcpSamples);
  ClosestPairs pairs(n / source_stride + target_n / target_stride + 2);
  std::vector<double> squares;
  for (int iteration = 0; iteration < kMaxIcpIterations; ++iteration) {
    poll_interrupt();
    pairs.count = 0;
    OrientationCheck orientation(kIcpCosine);
    const Eigen::Matrix3d rotation = map.linear / std::cbrt(map.linear.determinant());
    for (Index i = 0; i < n; i += source_stride) {
      const Eigen::Vector3d p = map.linear * source.V.row(i).transpose() + map.shift;
      const SurfacePoint found = surface.tree.closest(p.data());
      if (on_boundary(found, target.F, surface.boundary)) continue;
      const Eigen::Vector3d normal = interpolate(problem.target_N, target.F, found.face, found.weight);
      const double cosine = (rotation * N.row(i).transpose()).dot(normal);
      orientation.add(cosine);
      if (cosine < kIcpCosine) continue;
      pairs.add(source.V.row(i), interpolate(target.V, target.F, found.face, found.weight));
    }
    const Eigen::Matrix3d inverse = map.linear.inverse();
    for (Index j = 0; j < target_n; j += target_stride) {
      const Eigen::Vector3d q = inverse * (target.V.row(j).transpose() - map.shift);
      const SurfacePoint found = source_tree.closest(q.data());
      if (on_boundary(found, source.F, problem.source_boundary)) continue;
      const Eigen::Vector3d normal = rotation * interpolate(N, source.F, found.face, found.weight);
      const double cosine = normal.dot(problem.target_N.row(j).transpose());
      orientation.add(cosine);
      if (cosine < kIcpCosine) continue;
      pairs.add(interpolate(source.V, source.F, found.face, found.weight), target.V.row(j));
    }
    orientation.require(problem);
    const Index count = pairs.count;
    squares.clear();
    for (Index k = 0; k < count; ++k) squares.push_back(squared_residual(map, pairs.P, pairs.Q, k));
    const double scale = robust_scale(squares, kSurfaceScale, kMinScale * size * size);
    Vector w(count);
    for (Index k = 0; k < count; ++k) w[k] = geman_mcclure_weight(squares[std::size_t(k)], scale);
    const AffineMap next = fit_alignment(pairs.P.topRows(count), pairs.Q.topRows(count), w, kind);
    const double change = (next.linear - map.linear).norm() * size +
                          (next.apply(source.V.topRows(1)) - map.apply(source.V.topRows(1))).norm();
    map = next;
    if (change < kIcpTolerance * size) break;
  }
  return map;
}

void bend(const Problem& problem, const TargetSurface& target, State& state) {
  const double edge = state.edge;
  const double tolerance = kBendTolerance * edge * std::sqrt(double(problem.size()));
  std::vector<double> squares;
  for (int degree = 1; degree <= 3; ++degree) {
    const Rows A = monomials(state.X, degree);
    for (int iteration = 0; iteration < kMaxBendIterations; ++iteration) {
      state.correspondences = correspond_by_surface(problem, target, state);
      if (state.correspondences.size() < std::size_t(kPairsPerTerm * A.cols())) return;
      squares.clear();
      for (const Correspondence& pair : state.correspondences) {
        squares.push_back((value_at(pair, state.X, problem.source.F) - pair.target_point).squaredNorm());
      }
      const double scale = robust_scale(squares, kSurfaceScale, kMinScale * edge * edge);
      const Points change = A * polynomial_step(problem, state, A, squares, scale);
      set_positions(problem, state.X + change, state);
      if (change.norm() < tolerance) break;
    }
  }
}

}  // namespace facegeom::registration
