#include "helpers.h"

#include <facegeom/raster.h>

#include <cmath>

using namespace facegeom;
using testing::Mesh;

TEST_CASE("rasterize: interpolates depth and attributes linearly") {
  Points V(3, 3);
  V << -1, -1, 0, 21, -1, 22, -1, 21, 44;  // depth = (x + 1) + 2 (y + 1)
  Faces F(1, 3);
  F << 0, 1, 2;
  const Raster raster = rasterize(V, F, V.leftCols(2), 8, 9);
  REQUIRE(raster.depth.size() == 72);
  for (Index y = 0; y < 8; ++y) {
    for (Index x = 0; x < 9; ++x) {
      const Index p = y * 9 + x;
      REQUIRE(raster.triangle[p] == 0);
      CHECK(raster.depth[p] == doctest::Approx(double(x + 1) + 2 * double(y + 1)));
      CHECK(raster.attributes(p, 0) == doctest::Approx(double(x)));
      CHECK(raster.attributes(p, 1) == doctest::Approx(double(y)));
    }
  }
}

TEST_CASE("rasterize: a plane of triangles covers each pixel once, for either orientation") {
  Mesh mesh = testing::grid(9);
  const Faces reversed = mesh.F.rowwise().reverse();
  mesh.V.leftCols(2) *= 2;  // vertices and edges pass through pixel centres
  for (const Faces& F : {mesh.F, reversed}) {
    std::vector<int> covered(17 * 17, 0);
    for (Index f = 0; f < F.rows(); ++f) {
      const Raster one = rasterize(mesh.V, F.row(f), Rows(81, 0), 17, 17);
      for (Index p = 0; p < one.triangle.size(); ++p) covered[std::size_t(p)] += one.triangle[p] >= 0;
    }
    for (Index y = 0; y < 17; ++y) {
      // The top-left rule gives the right and the bottom outline to no triangle.
      for (Index x = 0; x < 17; ++x) CHECK(covered[std::size_t(17 * y + x)] == (x < 16 && y < 16));
    }
  }
}

TEST_CASE("rasterize: the nearer triangle is visible, the lower index at equal depth") {
  Points V(9, 3);
  V << 0, 0, 1, 9, 0, 1, 0, 9, 1, 0, 0, 2, 9, 0, 2, 0, 9, 2, 0, 0, 2, 9, 0, 2, 0, 9, 2;
  Faces F(3, 3);
  F << 0, 1, 2, 3, 4, 5, 6, 7, 8;
  const Raster raster = rasterize(V, F, Rows(9, 0), 3, 3);
  CHECK((raster.triangle.array() == 1).all());
  CHECK((raster.depth.array() == 2).all());
}

TEST_CASE("rasterize: NaN and -1 where nothing is covered; zero-area triangles cover nothing") {
  Points V(3, 3);
  V << 0, 0, 0, 5, 5, 0, 2, 2, 0;
  Faces F(1, 3);
  F << 0, 1, 2;
  const Raster raster = rasterize(V, F, V, 6, 6);
  CHECK((raster.triangle.array() == -1).all());
  for (Index p = 0; p < 36; ++p) {
    CHECK(std::isnan(raster.depth[p]));
    CHECK(std::isnan(raster.attributes(p, 2)));
  }
}

TEST_CASE("rasterize: throws") {
  const Mesh mesh = testing::grid(3);
  CHECK_THROWS_AS(rasterize(mesh.V, mesh.F, Rows(8, 1), 4, 4), std::invalid_argument);
  CHECK_THROWS_AS(rasterize(mesh.V, mesh.F, Rows(9, 0), 0, 4), std::invalid_argument);
  CHECK_THROWS_AS(rasterize(mesh.V, mesh.F, Rows(9, 0), 4, 0), std::invalid_argument);
}
