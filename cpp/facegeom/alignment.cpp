#include <facegeom/alignment.h>
#include <facegeom/interrupt.h>

#include <Eigen/Eigenvalues>
#include <Eigen/SVD>
#include <algorithm>
#include <array>
#include <random>
#include <sstream>

namespace facegeom {

namespace {

//! The points do not span a direction in which their variance is below this share of the largest variance.
constexpr double kMinVarianceShare = 1e-10;
constexpr int kMaxRefits = 20;
//! Work of a random sample, see WorkCounter.
constexpr Index kUnitsPerSample = 1000;

Index sample_size(Alignment kind) { return kind == Alignment::kAffine ? 4 : 3; }

//! Moments of weighted pairs about their means.
struct Moments {
  Eigen::Vector3d p = Eigen::Vector3d::Zero(), q = Eigen::Vector3d::Zero();
  Eigen::Matrix3d pp = Eigen::Matrix3d::Zero(), qp = Eigen::Matrix3d::Zero();

  template <class Weight>
  Moments(PointsIn P, PointsIn Q, const Weight& weight) {
    double total = 0;
    for (Index i = 0; i < P.rows(); ++i) {
      const double w = weight(i);
      if (w == 0) continue;
      total += w;
      p += w * P.row(i).transpose();
      q += w * Q.row(i).transpose();
    }
    if (total > 0) {
      p /= total;
      q /= total;
    }
    for (Index i = 0; i < P.rows(); ++i) {
      const double w = weight(i);
      if (w == 0) continue;
      const Eigen::Vector3d x = P.row(i).transpose() - p, y = Q.row(i).transpose() - q;
      pp += w * x * x.transpose();
      qp += w * y * x.transpose();
    }
  }

  //! Whether the points span a plane (2) or space (3).
  bool spans(int dimensions) const {
    const Eigen::Vector3d extent =
        Eigen::SelfAdjointEigenSolver<Eigen::Matrix3d>(pp, Eigen::EigenvaluesOnly).eigenvalues();
    return extent[3 - dimensions] > kMinVarianceShare * extent[2];
  }
};

//! Least-squares map; false if the moments do not determine it.
bool solve(const Moments& m, Alignment kind, AffineMap& map) {
  if (!m.spans(kind == Alignment::kAffine ? 3 : 2)) return false;
  if (kind == Alignment::kAffine) {
    map.linear = m.pp.ldlt().solve(m.qp.transpose()).transpose();
  } else {
    const Eigen::JacobiSVD<Eigen::Matrix3d> svd(m.qp, Eigen::ComputeFullU | Eigen::ComputeFullV);
    Eigen::Vector3d sign(1, 1, (svd.matrixU() * svd.matrixV().transpose()).determinant() < 0 ? -1 : 1);
    map.linear = svd.matrixU() * sign.asDiagonal() * svd.matrixV().transpose();
    if (kind == Alignment::kSimilarity) map.linear *= svd.singularValues().dot(sign) / m.pp.trace();
  }
  map.shift = m.q - map.linear * m.p;
  return true;
}

void check_pairs(PointsIn P, PointsIn Q) {
  if (P.rows() != Q.rows()) throw std::invalid_argument("P and Q must have the same number of points");
}

[[noreturn]] void throw_degenerate(Alignment kind) {
  throw std::invalid_argument(
      kind == Alignment::kAffine
          ? "the points lie in a plane or on a line: they do not determine an affine map"
          : "the points lie on a line: they do not determine a rotation");
}

}  // namespace

AffineMap fit_alignment(PointsIn P, PointsIn Q, VectorIn weights, Alignment kind) {
  check_pairs(P, Q);
  if (weights.size() != P.rows()) throw std::invalid_argument("weights must have one entry per pair");
  AffineMap map;
  if (!solve(Moments(P, Q, [&](Index i) { return weights[i]; }), kind, map)) throw_degenerate(kind);
  return map;
}

RansacResult ransac_alignment(PointsIn P, PointsIn Q, Alignment kind, const RansacOptions& options) {
  check_pairs(P, Q);
  const Index n = P.rows(), size = sample_size(kind);
  if (n < size) {
    std::ostringstream message;
    message << "at least " << size << " pairs are needed, got " << n;
    throw std::invalid_argument(message.str());
  }
  const double limit = options.threshold * options.threshold;
  const auto agrees = [&](const AffineMap& map, Index i) {
    return (map.linear * P.row(i).transpose() + map.shift - Q.row(i).transpose()).squaredNorm() <= limit;
  };

  std::mt19937_64 random(options.seed);
  AffineMap best;
  Index most = -1;
  bool any = false;
  Points sample_P(size, 3), sample_Q(size, 3);
  WorkCounter work;
  for (Index iteration = 0; iteration < options.iterations; ++iteration) {
    work.add(kUnitsPerSample);
    std::array<Index, 4> rows{};
    for (Index k = 0; k < size; ++k) {
      // The bias of the remainder towards low rows is below n / 2^64. The distributions of the standard
      // library differ between platforms.
      do {
        rows[std::size_t(k)] = Index(random() % std::uint64_t(n));
      } while (std::find(rows.begin(), rows.begin() + k, rows[std::size_t(k)]) != rows.begin() + k);
      sample_P.row(k) = P.row(rows[std::size_t(k)]);
      sample_Q.row(k) = Q.row(rows[std::size_t(k)]);
    }
    AffineMap map;
    if (!solve(Moments(sample_P, sample_Q, [](Index) { return 1.0; }), kind, map)) continue;
    any = true;
    Index count = 0;
    work.add(n);
    // Stop as soon as the remaining pairs cannot make it the best.
    for (Index i = 0; i < n && count + n - i > most; ++i) count += agrees(map, i);
    if (count > most) {
      most = count;
      best = map;
    }
  }
  if (!any) throw_degenerate(kind);

  RansacResult out{best, Eigen::Matrix<bool, Eigen::Dynamic, 1>(n)};
  const auto count_inliers = [&](const AffineMap& map) {
    for (Index i = 0; i < n; ++i) out.inlier[i] = agrees(map, i);
    return out.inlier.count();
  };
  Index inliers = count_inliers(out.map);
  for (int refit = 0; refit < kMaxRefits; ++refit) {
    AffineMap map;
    if (!solve(Moments(P, Q, [&](Index i) { return double(out.inlier[i]); }), kind, map)) break;
    const auto before = out.inlier;
    const Index count = count_inliers(map);
    if (count < inliers) {
      out.inlier = before;
      break;
    }
    inliers = count;
    out.map = map;
    if (out.inlier == before) break;
  }
  if (inliers < options.min_inliers) {
    std::ostringstream message;
    message << "only " << inliers << " of " << n << " pairs agree within " << options.threshold
            << ", but at least " << options.min_inliers << " are required";
    throw std::invalid_argument(message.str());
  }
  return out;
}

}  // namespace facegeom
