#pragma once

#include <facegeom/types.h>

#include <Eigen/Geometry>
#include <cstdint>

namespace facegeom {

//! The map x -> linear x + shift.
struct AffineMap {
  Eigen::Matrix3d linear = Eigen::Matrix3d::Identity();
  Eigen::Vector3d shift = Eigen::Vector3d::Zero();

  Points apply(PointsIn P) const { return (P * linear.transpose()).rowwise() + shift.transpose(); }
};

//! Kind of map; similarities and rigid motions preserve the orientation (no reflections).
enum class Alignment { kAffine, kSimilarity, kRigid };

//! The map of a kind that minimises the weighted sum of squared distances between the images of P and Q.
//! \cite umeyama1991least for similarities and rigid motions
//! \param P (n, 3)
//! \param Q (n, 3)
//! \param weights (n,) at least 0
//! \param kind of map
//! \return the map
//! \throw std::invalid_argument if the sizes differ, or if the points of positive weight do not determine the
//! map: for an affine map the points must span space, for the other maps a plane
AffineMap fit_alignment(PointsIn P, PointsIn Q, VectorIn weights, Alignment kind);

struct RansacOptions {
  Index iterations;    //!< number of random samples
  double threshold;    //!< maximum residual of an inlier, in the unit of the points
  std::uint64_t seed;  //!< seed of the random samples
  Index min_inliers;
};

struct RansacResult {
  AffineMap map;
  Eigen::Matrix<bool, Eigen::Dynamic, 1> inlier;  //!< (n,) whether the residual is at most the threshold
};

//! Least-squares fit to the inliers, which are found by random samples (RANSAC). \cite fischler1981random
//!
//! A sample has the fewest pairs that determine a map: 4 for an affine map, else 3; degenerate samples are
//! skipped. The map of the best sample is fitted again to its inliers until the inliers no longer change.
//! \param P (n, 3)
//! \param Q (n, 3)
//! \param kind of map
//! \param options see RansacOptions
//! \return the map and its inliers
//! \throw std::invalid_argument if the sizes differ, there are fewer pairs than in a sample, no sample
//! determines a map, or there are fewer than RansacOptions::min_inliers inliers
RansacResult ransac_alignment(PointsIn P, PointsIn Q, Alignment kind, const RansacOptions& options);

}  // namespace facegeom
