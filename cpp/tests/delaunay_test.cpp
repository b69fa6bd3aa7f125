#include "helpers.h"

#include <facegeom/delaunay.h>
#include <facegeom/predicates.h>

#include <cmath>
#include <map>
#include <utility>

using namespace facegeom;

namespace {

//! Checks the empty circle of every inner edge, the orientation and that each edge has one or two triangles.
//! \return the area
double check_delaunay(const Points2& P, const Faces& F) {
  std::map<std::pair<Index, Index>, Index> opposite;  // directed edge -> third corner
  double area = 0;
  for (Index f = 0; f < F.rows(); ++f) {
    const double twice = orient2d(P.row(F(f, 0)).data(), P.row(F(f, 1)).data(), P.row(F(f, 2)).data());
    CHECK(twice > 0);
    area += twice / 2;
    for (int k = 0; k < 3; ++k) {
      const std::pair<Index, Index> edge{F(f, k), F(f, (k + 1) % 3)};
      CHECK(opposite.count(edge) == 0);
      opposite[edge] = F(f, (k + 2) % 3);
    }
  }
  for (const auto& [edge, apex] : opposite) {
    const auto twin = opposite.find({edge.second, edge.first});
    if (twin == opposite.end()) continue;
    CHECK(incircle(P.row(edge.first).data(), P.row(edge.second).data(), P.row(apex).data(),
                   P.row(twin->second).data()) <= 0);
  }
  return area;
}

}  // namespace

TEST_CASE("delaunay: random points, at several scales") {
  const Points2 P = testing::normal_values(500, 2, 3);
  const Faces F = delaunay(P);
  check_delaunay(P, F);
  for (const double scale : {1e-9, 1e9}) {
    const Points2 scaled = scale * P;
    check_delaunay(scaled, delaunay(scaled));
  }
}

TEST_CASE("delaunay: a pixel grid is covered once") {
  Points2 P(20 * 30, 2);
  for (Index i = 0; i < P.rows(); ++i) P.row(i) << double(i % 30), double(i / 30);
  const Faces F = delaunay(P);
  CHECK(F.rows() == 2 * 19 * 29);
  CHECK(check_delaunay(P, F) == doctest::Approx(19 * 29));
}

TEST_CASE("delaunay: points on a circle") {
  Points2 P(64, 2);
  for (Index i = 0; i < 64; ++i) P.row(i) << std::cos(double(i) / 64 * 6.28), std::sin(double(i) / 64 * 6.28);
  const Faces F = delaunay(P);
  CHECK(F.rows() == 62);
  check_delaunay(P, F);
}

TEST_CASE("delaunay: of equal points the lowest index is used") {
  Points2 P(6, 2);
  P << 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1;
  const Faces F = delaunay(P);
  CHECK(F.rows() == 2);
  for (Index i = 0; i < F.size(); ++i) {
    CHECK(F.data()[i] != 3);
    CHECK(F.data()[i] != 4);
  }
}

TEST_CASE("delaunay: no triangles for fewer than three points or points on a line") {
  CHECK(delaunay(Points2(0, 2)).rows() == 0);
  CHECK(delaunay(Points2(testing::normal_values(2, 2, 0))).rows() == 0);
  Points2 line(9, 2);
  for (Index i = 0; i < 9; ++i) line.row(i) << double(i * i), 3 * double(i * i) + 1;
  CHECK(delaunay(line).rows() == 0);
}

TEST_CASE("delaunay: throws for more than 2^28 points") {
  const Index many = (Index(1) << 28) + 1;
  CHECK_THROWS_AS(delaunay(testing::unreadable<Points2>(many, 2)), std::invalid_argument);
}
