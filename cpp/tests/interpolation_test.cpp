#include "helpers.h"

#include <facegeom/interpolation.h>

#include <limits>

using namespace facegeom;
using testing::Mesh;

namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("biharmonic_interpolation: keeps a constant, known at a few vertices") {
  const Mesh mesh = testing::relief(10, 3.0);
  Vector weight = Vector::Zero(100);
  for (Index i = 0; i < 100; i += 17) weight[i] = 1;
  const Rows u = biharmonic_interpolation(mesh.V, mesh.F, Rows::Constant(100, 2, 3), weight, 1, kInfinite);
  CHECK((u.array() - 3).abs().maxCoeff() < 1e-6);
}

TEST_CASE("biharmonic_interpolation: a short length keeps known values, a long one smooths them") {
  const Mesh sphere = testing::icosphere(2);
  const Rows values = testing::normal_values(162, 1, 1);
  const Vector ones = Vector::Ones(162);
  const Rows near = biharmonic_interpolation(sphere.V, sphere.F, values, ones, 1e-4, kInfinite);
  CHECK((near - values).norm() < 1e-6);
  const Rows smooth = biharmonic_interpolation(sphere.V, sphere.F, values, ones, 100, kInfinite);
  CHECK(smooth.maxCoeff() - smooth.minCoeff() < 1e-3);
}

TEST_CASE("biharmonic_interpolation: falls to zero at the distance of the decay") {
  Mesh strip = testing::grid(40);
  Vector weight = Vector::Zero(1600);
  for (Index y = 0; y < 40; ++y) weight[40 * y] = 1e6;
  const Rows u = biharmonic_interpolation(strip.V, strip.F, Rows::Ones(1600, 1), weight, 2, 3);
  CHECK(u(40 * 20, 0) == doctest::Approx(1).epsilon(0.01));
  CHECK(std::abs(u(40 * 20 + 30, 0)) < 0.01);
}

TEST_CASE("biharmonic_interpolation: a component of weight zero becomes zero; without area values are kept") {
  const Mesh part = testing::grid(4);
  Points V(33, 3);
  V << part.V, part.V.array() + 100, 7, 8, 9;
  Faces F(36, 3);
  F << part.F, part.F.array() + 16;
  Vector weight = Vector::Zero(33);
  weight.head(16).setOnes();
  const Rows u = biharmonic_interpolation(V, F, Rows::Constant(33, 1, 5), weight, 1e-3, kInfinite);
  CHECK((u.topRows(16).array() - 5).abs().maxCoeff() < 1e-6);
  CHECK(u.middleRows(16, 16).norm() < 1e-6);
  CHECK(u(32, 0) == 5);
}

TEST_CASE("biharmonic_interpolation: throws") {
  const Mesh mesh = testing::grid(5);
  const Rows values = Rows::Ones(25, 1);
  Vector weight = Vector::Ones(25);
  const auto interpolate = [&](const Rows& u, const Vector& w, double length, double decay) {
    return biharmonic_interpolation(mesh.V, mesh.F, u, w, length, decay);
  };
  CHECK_THROWS_AS(interpolate(values.topRows(24), weight, 1, 1), std::invalid_argument);
  CHECK_THROWS_AS(interpolate(values, weight.head(24), 1, 1), std::invalid_argument);
  CHECK_THROWS_AS(interpolate(values, weight, 0, 1), std::invalid_argument);
  CHECK_THROWS_AS(interpolate(values, weight, 1, 0), std::invalid_argument);
  weight[3] = -1;
  CHECK_THROWS_AS(interpolate(values, weight, 1, 1), std::invalid_argument);
  weight[3] = 0;
  CHECK_THROWS_AS(interpolate(values, weight, 1e90, kInfinite), SolverError);
}
