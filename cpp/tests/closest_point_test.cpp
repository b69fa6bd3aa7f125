#include "helpers.h"

#include <facegeom/closest_point.h>

#include <cmath>

using namespace facegeom;
using testing::Mesh;

namespace {

Eigen::RowVectorXd position(const SurfacePoint& point, const Rows& V, const Faces& F) {
  return point.weight[0] * V.row(F(point.face, 0)) + point.weight[1] * V.row(F(point.face, 1)) +
         point.weight[2] * V.row(F(point.face, 2));
}

}  // namespace

TEST_CASE("TriangleTree: projection to the face, an edge and a corner of one triangle") {
  Rows V(3, 3);
  V << 0, 0, 0, 1, 0, 0, 0, 1, 0;
  Faces F(1, 3);
  F << 0, 1, 2;
  const TriangleTree tree(V, F);
  const auto check = [&](const Eigen::RowVector3d& query, const Eigen::RowVector3d& expected) {
    const SurfacePoint found = tree.closest(query.data());
    CHECK((position(found, V, F) - expected).norm() < 1e-15);
    CHECK(found.squared_distance == doctest::Approx((query - expected).squaredNorm()));
  };
  check({0.25, 0.25, 2}, {0.25, 0.25, 0});
  check({0.5, -1, 1}, {0.5, 0, 0});
  check({1, 1, 0}, {0.5, 0.5, 0});
  check({-1, -1, 0}, {0, 0, 0});
  check({3, -1, 0}, {1, 0, 0});
}

TEST_CASE("TriangleTree: the hint has no effect; the lowest of equally distant triangles is found") {
  const Mesh mesh = testing::grid(6);
  const TriangleTree tree(mesh.V, mesh.F);
  const Eigen::RowVector3d query(2, 2, 1);  // above a vertex of six triangles
  const SurfacePoint first = tree.closest(query.data());
  for (Index hint = 0; hint < mesh.F.rows(); ++hint) {
    CHECK(tree.closest(query.data(), hint).face == first.face);
  }
  for (Index f = 0; f < first.face; ++f) CHECK((mesh.F.row(f).array() == 14).any() == false);
}

TEST_CASE("TriangleTree: on a sphere") {
  const Mesh sphere = testing::icosphere(3);
  const TriangleTree tree(sphere.V, sphere.F);
  const Rows queries = testing::normal_values(100, 3, 1).rowwise().normalized() * 2;
  for (Index q = 0; q < 100; ++q) {
    const SurfacePoint found = tree.closest(queries.row(q).data());
    CHECK(std::sqrt(found.squared_distance) == doctest::Approx(1).epsilon(0.02));
    CHECK(found.weight[0] + found.weight[1] + found.weight[2] == doctest::Approx(1));
    for (const double weight : found.weight) CHECK(weight >= 0);
  }
}

TEST_CASE("TriangleTree: an isometric embedding in more dimensions gives the same points") {
  const Mesh mesh = testing::relief(6, 2.0);
  Rows lift = Rows::Zero(3, 6);
  lift.leftCols(3) = testing::rotation(3);
  const TriangleTree tree(mesh.V, mesh.F), lifted(Rows(mesh.V * lift), mesh.F);
  CHECK(lifted.dimension() == 6);
  for (Index q = 0; q < 20; ++q) {
    const Rows query = testing::normal_values(1, 3, unsigned(q)) * 3;
    const Rows lifted_query = query * lift;
    CHECK(lifted.closest(lifted_query.data()).squared_distance ==
          doctest::Approx(tree.closest(query.data()).squared_distance));
  }
}

TEST_CASE("TriangleTree: degenerate triangles are segments and points") {
  Rows V(3, 3);
  V << 0, 0, 0, 2, 0, 0, 1, 0, 0;
  Faces F(2, 3);
  F << 0, 1, 2, 1, 1, 1;
  const TriangleTree tree(V, F);
  const Eigen::RowVector3d query(0.5, 1, 0), far(4, 0, 0);
  CHECK(tree.closest(query.data()).squared_distance == doctest::Approx(1));
  CHECK(tree.closest(far.data()).squared_distance == doctest::Approx(4));
}

TEST_CASE("TriangleTree: throws") {
  const Mesh mesh = testing::tetrahedron();
  CHECK_THROWS_AS(TriangleTree(mesh.V, Faces(0, 3)), std::invalid_argument);
  CHECK_THROWS_AS(TriangleTree(Rows(4, 0), mesh.F), std::invalid_argument);
  CHECK_THROWS_AS(TriangleTree(Rows::Zero(4, 9), mesh.F), std::invalid_argument);
  CHECK_THROWS_AS(TriangleTree(mesh.V, testing::unreadable<Faces>(testing::kTooManyRows, 3)),
                  std::invalid_argument);
}
