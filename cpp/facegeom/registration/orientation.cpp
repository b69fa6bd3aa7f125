#include <facegeom/registration/orientation.h>
#include <facegeom/triangle.h>

#include <algorithm>

namespace facegeom::registration {

namespace {

//! Normals are opposed if the cosine of their angle is below this value, about 107 degrees.
constexpr double kOpposed = -0.3;
//! Minimum share of opposed pairs, in quarters, with which the registration ends.
constexpr Index kMostQuarters = 3;
//! A surface is curved enough to tell its two sides apart if its outwardness is above this value.
constexpr double kMinOutwardness = 0.02;

//! Whether the normals point away from the centroid: area-weighted mean cosine between the normal of a
//! triangle and its direction from the centroid, in [-1, 1]. Independent of rotations.
double outwardness(PointsIn V, FacesIn F) {
  const Eigen::RowVector3d mean = V.colwise().mean();
  double sum = 0, total = 0;
  for (Index f = 0; f < F.rows(); ++f) {
    const Eigen::RowVector3d a = V.row(F(f, 0)), b = V.row(F(f, 1)), c = V.row(F(f, 2));
    const Eigen::RowVector3d normal = (b - a).cross(c - a), away = (a + b + c) / 3 - mean;
    const double size = normal.norm() * away.norm();
    sum += normal.dot(away);
    total += size;
  }
  return total > 0 ? sum / total : 0;
}

}  // namespace

OrientationCheck::OrientationCheck(double cosine) : limit_(std::min(kOpposed, cosine)) {}

void OrientationCheck::require(const Problem& problem, bool mirrored) const {
  if (pairs_ == 0 || 4 * opposed_ < kMostQuarters * pairs_) return;
  if (mirrored) throw std::invalid_argument("the target is a mirror image of the template");
  const double source = outwardness(problem.source.V, problem.source.F);
  const double target = outwardness(problem.target.V, problem.target.F);
  if (std::min(std::abs(source), std::abs(target)) < kMinOutwardness) {
    throw std::invalid_argument(
        "the normals of template and target are opposed: their triangles have opposite winding, or one of "
        "the meshes "
        "is turned by more than 90 degrees");
  }
  if ((source < 0) != (target < 0)) {
    throw std::invalid_argument(
        "the triangles of template and target have opposite winding: reverse the rows of one of them");
  }
  throw std::invalid_argument(
      "the template is turned by more than 90 degrees from the target: turn it, or give three landmarks");
}

}  // namespace facegeom::registration
