#pragma once

#include <facegeom/types.h>

#include <Eigen/Geometry>
#include <cstdint>

namespace facegeom {

//! x -> linear x + shift.
struct AffineMap {
  Eigen::Matrix3d linear = Eigen::Matrix3d::Identity();
  Eigen::Vector3d shift = Eigen::Vector3d::Zero();

  Points apply(PointsIn P) const { return (P * linear.transpose()).rowwise() + shift.transpose(); }
};

enum class Alignment { kAffine, kSimilarity, kRigid };

//! The map of a kind that takes P to Q with the least weighted sum of squared distances.
//!
//! Similarities and rigid motions keep the orientation. \cite umeyama_1991
//! \param P (n, 3)
//! \param Q (n, 3)
//! \param weights (n,) at least 0
//! \throw std::invalid_argument on mismatched sizes, or if the points of positive weight do not span what the
//! kind needs: space for an affine map, a plane for the others
AffineMap fit_alignment(PointsIn P, PointsIn Q, VectorIn weights, Alignment kind);

struct RansacOptions {
  Index iterations;
  double threshold;    //!< distance up to which a pair agrees
  std::uint64_t seed;  //!< of the samples
  Index least_inliers;
};

struct RansacResult {
  AffineMap map;
  Eigen::Matrix<bool, Eigen::Dynamic, 1> inlier;  //!< (n,) agrees with the map
};

//! Least squares over the pairs that agree, found by random samples. \cite fischler_1981
//!
//! Samples are the fewest pairs that fix a map (4 for an affine one, else 3); flat ones are passed over. The
//! best sample's map is fitted anew to its inliers until they no longer change.
//! \throw std::invalid_argument on mismatched sizes, too few pairs, pairs too flat for the kind, or when
//! fewer than least_inliers agree: says how many
RansacResult ransac_alignment(PointsIn P, PointsIn Q, Alignment kind, const RansacOptions& options);

}  // namespace facegeom
