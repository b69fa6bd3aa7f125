#include "helpers.h"

#include <facegeom/checks.h>
#include <facegeom/delaunay.h>
#include <facegeom/displacement.h>
#include <facegeom/laplacian.h>
#include <facegeom/raster.h>

#include <limits>

using namespace facegeom;

namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr Index kMost = std::numeric_limits<Index>::max();

}  // namespace

TEST_CASE("within_magnitude: NaN, infinity and large values are found at every place") {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), kInfinite, -kInfinite, 1.1e30, -1e300}) {
    for (Index place = 0; place < 7; ++place) {
      Vector values = Vector::Constant(7, -kMaxMagnitude);
      CHECK(within_magnitude(values.data(), 7));
      values[place] = bad;
      CHECK_FALSE(within_magnitude(values.data(), 7));
    }
  }
  CHECK(within_magnitude(nullptr, 0));
}

TEST_CASE("indices_below: indices outside the range are found at every place") {
  for (const Index bad : {Index(-1), Index(5), kMost, -kMost - 1}) {
    for (Index place = 0; place < 7; ++place) {
      Indices indices = Indices::Constant(7, 4);
      CHECK(indices_below(indices.data(), 7, 5));
      indices[place] = bad;
      CHECK_FALSE(indices_below(indices.data(), 7, 5));
    }
  }
  CHECK(indices_below(nullptr, 0, 0));
  const Index zero = 0;
  CHECK_FALSE(indices_below(&zero, 1, 0));
}

TEST_CASE("rasterize: too many pixels or attribute values") {
  const testing::Mesh mesh = testing::tetrahedron();
  const Rows values = Rows::Zero(4, 5);
  CHECK_THROWS_AS(rasterize(mesh.V, mesh.F, values, Index(1) << 32, Index(1) << 32), std::invalid_argument);
  CHECK_THROWS_AS(rasterize(mesh.V, mesh.F, values, kMost, 2), std::invalid_argument);
  CHECK_THROWS_AS(rasterize(mesh.V, mesh.F, values, 1 << 14, 1 << 14), std::invalid_argument);
}

TEST_CASE("delaunay: coordinates over too many decades") {
  Points2 points(5, 2);
  points << 0, 0, 1, 0, 0, 1, 1e-60, 1e-61, 0.25, 0.75;
  CHECK_THROWS_AS(delaunay(points), std::invalid_argument);
  points.row(3) << 1e-40, 1e-41;
  CHECK(delaunay(points).rows() == 4);
}

TEST_CASE("delaunay: subnormal coordinates on a lattice") {
  Points2 points(4, 2);
  points << 0, 0, 1, 0, 0, 1, 1, 1;
  points *= 4 * std::numeric_limits<double>::denorm_min();
  CHECK(delaunay(points).rows() == 2);
}

TEST_CASE("displace_by_shading: ends where areas overflow") {
  testing::Mesh mesh = testing::relief(5, 1.0);
  mesh.V *= 1e60;
  const Vector intensity = Vector::LinSpaced(25, 0, 1);
  CHECK_NOTHROW(displace_by_shading(mesh.V, mesh.F, intensity, Vector::Ones(25), {0, 3, 0.5, true}));
}

TEST_CASE("uniform_laplacian: a vertex in very many triangles") {
  const Index n = 5000;
  Faces F(n - 2, 3);
  for (Index f = 0; f < F.rows(); ++f) F.row(f) << 0, n - 2 - f, n - 1 - f;
  const Csr L = uniform_laplacian(F, n);
  CHECK(L.values[0] == double(n - 1));
  for (Index s = 1; s < L.starts[1]; ++s) CHECK(L.columns[s] == L.columns[s - 1] + 1);
}
