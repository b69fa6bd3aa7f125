#include "helpers.h"

#include <facegeom/alignment.h>

#include <cmath>

using namespace facegeom;

namespace {

const Eigen::Vector3d kShift(1, -2, 3);

AffineMap known(Alignment kind) {
  AffineMap map;
  map.linear = testing::rotation(5);
  if (kind == Alignment::kSimilarity) map.linear *= 1.7;
  if (kind == Alignment::kAffine) map.linear *= Eigen::Vector3d(1, 2, 0.5).asDiagonal();
  map.shift = kShift;
  return map;
}

}  // namespace

TEST_CASE("fit_alignment: recovers an exact map of each kind") {
  const Points P = testing::normal_values(30, 3, 1);
  for (const Alignment kind : {Alignment::kAffine, Alignment::kSimilarity, Alignment::kRigid}) {
    const AffineMap expected = known(kind);
    const AffineMap map = fit_alignment(P, expected.apply(P), Vector::Ones(30), kind);
    CHECK((map.linear - expected.linear).norm() < 1e-12);
    CHECK((map.shift - kShift).norm() < 1e-12);
  }
}

TEST_CASE("fit_alignment: similarities and rigid motions are no reflections") {
  const Points P = testing::normal_values(30, 3, 2);
  const Points Q = P * Eigen::Vector3d(-1, 1, 1).asDiagonal();
  for (const Alignment kind : {Alignment::kSimilarity, Alignment::kRigid}) {
    CHECK(fit_alignment(P, Q, Vector::Ones(30), kind).linear.determinant() > 0);
  }
  CHECK(fit_alignment(P, Q, Vector::Ones(30), Alignment::kAffine).linear.determinant() < 0);
}

TEST_CASE("fit_alignment: pairs of weight 0 have no effect") {
  const Points P = testing::normal_values(30, 3, 3);
  const AffineMap expected = known(Alignment::kRigid);
  Points Q = expected.apply(P);
  Vector weights = Vector::Ones(30);
  Q.topRows(10).array() += 100;
  weights.head(10).setZero();
  CHECK((fit_alignment(P, Q, weights, Alignment::kRigid).linear - expected.linear).norm() < 1e-12);
}

TEST_CASE("fit_alignment: points of a plane determine a rotation") {
  Points P = testing::normal_values(20, 3, 4);
  P.col(2).setZero();
  const AffineMap expected = known(Alignment::kRigid);
  CHECK((fit_alignment(P, expected.apply(P), Vector::Ones(20), Alignment::kRigid).linear - expected.linear)
            .norm() < 1e-12);
}

TEST_CASE("fit_alignment: throws") {
  Points P = testing::normal_values(20, 3, 5);
  const Vector ones = Vector::Ones(20);
  CHECK_THROWS_AS(fit_alignment(P, P.topRows(19), ones, Alignment::kRigid), std::invalid_argument);
  CHECK_THROWS_AS(fit_alignment(P, P, ones.head(19), Alignment::kRigid), std::invalid_argument);
  CHECK_THROWS_AS(fit_alignment(P, P, Vector::Zero(20), Alignment::kAffine), std::invalid_argument);
  P.col(2).setZero();
  CHECK_THROWS_AS(fit_alignment(P, P, ones, Alignment::kAffine), std::invalid_argument);
  P.col(1).setZero();
  CHECK_THROWS_AS(fit_alignment(P, P, ones, Alignment::kSimilarity), std::invalid_argument);
  CHECK_THROWS_AS(fit_alignment(P, P, ones, Alignment::kRigid), std::invalid_argument);
}

TEST_CASE("ransac_alignment: finds the inliers and the map, the same for the same seed") {
  const Points P = 50 * testing::normal_values(200, 3, 6);
  for (const Alignment kind : {Alignment::kAffine, Alignment::kSimilarity, Alignment::kRigid}) {
    const AffineMap expected = known(kind);
    Points Q = expected.apply(P) + 0.1 * Points(testing::normal_values(200, 3, 7));
    Q.topRows(60) = 50 * testing::normal_values(60, 3, 8);
    const RansacOptions options{500, 3, 1, 10};
    const RansacResult found = ransac_alignment(P, Q, kind, options);
    CHECK(found.inlier.tail(140).all());
    CHECK(found.inlier.head(60).count() < 6);
    CHECK((found.map.linear - expected.linear).norm() < 0.01);
    CHECK(ransac_alignment(P, Q, kind, options).map.linear == found.map.linear);
  }
}

TEST_CASE("ransac_alignment: throws") {
  Points P = 50 * testing::normal_values(40, 3, 9);
  const RansacOptions options{100, 3, 0, 10};
  CHECK_THROWS_AS(ransac_alignment(P, P.topRows(39), Alignment::kAffine, options), std::invalid_argument);
  CHECK_THROWS_AS(ransac_alignment(P.topRows(3), P.topRows(3), Alignment::kAffine, options),
                  std::invalid_argument);
  CHECK_THROWS_AS(ransac_alignment(P.topRows(2), P.topRows(2), Alignment::kRigid, options),
                  std::invalid_argument);
  const Points far = 9 * P.colwise().reverse();
  CHECK_THROWS_AS(ransac_alignment(P, far, Alignment::kAffine, options), std::invalid_argument);
  P.col(2).setZero();
  CHECK_THROWS_AS(ransac_alignment(P, P, Alignment::kAffine, options), std::invalid_argument);
  CHECK(ransac_alignment(P, P, Alignment::kRigid, options).inlier.all());
  P.col(1).setZero();
  CHECK_THROWS_AS(ransac_alignment(P, P, Alignment::kRigid, options), std::invalid_argument);
}
