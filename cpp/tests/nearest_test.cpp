#include "helpers.h"

#include <facegeom/nearest.h>
#include <facegeom/static_dimension.h>

#include <cmath>

using namespace facegeom;

TEST_CASE("PointTree: equals a full search in 1 to 8 dimensions") {
  for (Index d = 1; d <= 8; ++d) {
    const Rows points = testing::normal_values(300, d, unsigned(d)),
               queries = testing::normal_values(40, d, 99);
    const Nearest found = PointTree(points).nearest(queries);
    for (Index q = 0; q < 40; ++q) {
      Index expected;
      const double squared = (points.rowwise() - queries.row(q)).rowwise().squaredNorm().minCoeff(&expected);
      CHECK(found.index[q] == expected);
      CHECK(found.distance[q] == doctest::Approx(std::sqrt(squared)));
    }
  }
}

TEST_CASE("PointTree: the lowest index of equally distant points, whatever the order of the queries") {
  Rows points(6, 2);
  points << 1, 0, 0, 1, 5, 5, 0, 1, 1, 0, -1, 0;
  Rows queries(3, 2);
  queries << 0, 0, 5, 4, 0, 1;
  const Nearest found = PointTree(points).nearest(queries);
  CHECK(found.index[0] == 0);
  CHECK(found.index[1] == 2);
  CHECK(found.index[2] == 1);
  CHECK(found.distance[2] == 0);
}

TEST_CASE("PointTree: many equal points") {
  const Nearest found = PointTree(Rows::Ones(1000, 3)).nearest(Rows::Zero(1, 3));
  CHECK(found.index[0] == 0);
  CHECK(found.distance[0] == doctest::Approx(std::sqrt(3.0)));
}

TEST_CASE("PointTree: throws") {
  CHECK_THROWS_AS(PointTree(Rows(0, 3)), std::invalid_argument);
  CHECK_THROWS_AS(PointTree(Rows(4, 0)), std::invalid_argument);
  CHECK_THROWS_AS(PointTree(Rows::Zero(4, 9)), std::invalid_argument);
  CHECK_THROWS_AS(PointTree(testing::unreadable<Rows>(testing::kTooManyRows, 3)), std::invalid_argument);
  CHECK_THROWS_AS(PointTree(Rows::Zero(4, 3)).nearest(Rows::Zero(1, 2)), std::invalid_argument);
}

TEST_CASE("with_static_dimension: calls the action with the dimension, throws beyond 1 to 8") {
  const auto value = [](auto d) { return decltype(d)::value; };
  for (Index d = 1; d <= 8; ++d) CHECK(with_static_dimension(d, value) == d);
  CHECK_THROWS_AS(with_static_dimension(0, value), std::invalid_argument);
  CHECK_THROWS_AS(with_static_dimension(9, value), std::invalid_argument);
}
