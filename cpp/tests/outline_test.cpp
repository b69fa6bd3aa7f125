#include "helpers.h"

#include <facegeom/outline.h>

#include <cmath>

using namespace facegeom;

namespace {

std::vector<Loop> rectangle(Index width, Index height) {
  return contours(10, 10,
                  [=](Index x, Index y) { return x >= 2 && x < 2 + width && y >= 3 && y < 3 + height; });
}

}  // namespace

TEST_CASE("contours: one loop half-way between inside and outside pixels") {
  const std::vector<Loop> loops = rectangle(4, 3);
  REQUIRE(loops.size() == 1);
  CHECK(loops[0].size() == 2 * (4 + 3));
  CHECK(signed_area(loops[0]) == doctest::Approx(4 * 3 - 0.5));  // four corners are cut by 1/8
}

TEST_CASE("contours: a hole has negative area; pixels that share a corner are separate") {
  const auto ring = contours(9, 9, [](Index x, Index y) { return !(x == 4 && y == 4); });
  REQUIRE(ring.size() == 2);
  CHECK(signed_area(ring[0]) * signed_area(ring[1]) < 0);
  CHECK(contours(4, 4, [](Index x, Index y) { return x == y && x < 2; }).size() == 2);
  CHECK(contours(4, 4, [](Index, Index) { return false; }).empty());
}

TEST_CASE("smoothed: no coordinate changes by more than the limit, the area hardly") {
  const auto disc = contours(60, 60, [](Index x, Index y) { return std::hypot(x - 30.0, y - 30.0) < 20; });
  REQUIRE(disc.size() == 1);
  const Loop smooth = smoothed(disc[0], 0.4);
  REQUIRE(smooth.size() == disc[0].size());
  for (std::size_t i = 0; i < smooth.size(); ++i)
    CHECK((smooth[i] - disc[0][i]).cwiseAbs().maxCoeff() <= 0.4 + 1e-12);
  CHECK(signed_area(smooth) == doctest::Approx(signed_area(disc[0])).epsilon(0.005));
  CHECK(perimeter(smooth) < perimeter(disc[0]));
  const Loop small = rectangle(2, 2)[0];
  CHECK(smoothed(small, 0.4) == small);
}

TEST_CASE("resampled: equal distances, at least three points") {
  const Loop square{{0, 0}, {0, 8}, {8, 8}, {8, 0}};
  CHECK(perimeter(square) == 32);
  const Loop fine = resampled(square, 0.5);
  REQUIRE(fine.size() == 64);
  for (std::size_t i = 0; i < 64; ++i) CHECK((fine[(i + 1) % 64] - fine[i]).norm() == doctest::Approx(0.5));
  CHECK(resampled(square, 1000).size() == 3);
}

TEST_CASE("Region: even-odd rule, with a hole") {
  const std::vector<Loop> loops{{{0, 0}, {0, 10}, {10, 10}, {10, 0}}, {{4, 4}, {6, 4}, {6, 6}, {4, 6}}};
  const Region region(loops, 1.5);
  CHECK(region.contains(1, 5));
  CHECK_FALSE(region.contains(5, 5));
  CHECK_FALSE(region.contains(11, 5));
  CHECK_FALSE(region.contains(5, -1));
  std::vector<double> x;
  region.crossings(5, x);
  CHECK(x == std::vector<double>{0, 4, 6, 10});
  region.crossings(20, x);
  CHECK(x.empty());
  CHECK_FALSE(Region({}, 1).contains(0, 0));
}
