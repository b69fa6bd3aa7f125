#include "helpers.h"

#include <facegeom/displacement.h>
#include <facegeom/normals.h>

#include <cmath>

using namespace facegeom;
using testing::Mesh;

TEST_CASE("displace_along_normals: a constant signal moves every vertex by gain * weight * signal") {
  const Mesh sphere = testing::icosphere(2);
  const Vector weight = Vector::LinSpaced(162, 0, 1);
  const Points moved = displace_along_normals(sphere.V, sphere.F, Vector::Constant(162, 2), weight, 0.1, 9);
  const Points N = vertex_normals(sphere.V, sphere.F);
  CHECK((moved - sphere.V - 0.2 * weight.asDiagonal() * N).norm() < 1e-12);
}

TEST_CASE("displace_along_normals: closed form for one signal in a plane") {
  const Mesh mesh = testing::grid(5);
  Vector signal = Vector::Zero(25);
  signal[12] = 1;
  const Points moved = displace_along_normals(mesh.V, mesh.F, signal, Vector::Ones(25), 0.2, 9);
  const double mean = (4 + 2 * std::sqrt(2.0)) / 6;
  const double total = 1 + 4 * std::exp(-1 / mean) + 2 * std::exp(-std::sqrt(2.0) / mean);
  CHECK(moved(12, 2) == doctest::Approx(0.2 / total));
  CHECK(moved(11, 2) == doctest::Approx(0.2 * std::exp(-1 / mean) / total));
  CHECK(moved(0, 2) == 0);
}

TEST_CASE("displace_along_normals: no step is longer than max_step; without triangles nothing moves") {
  Mesh mesh = testing::relief(6, 1.0);
  mesh.V.conservativeResize(37, 3);
  mesh.V.row(36) << 1, 2, 3;
  const Vector signal = 100 * testing::normal_values(37, 1, 3);
  const Points moved = displace_along_normals(mesh.V, mesh.F, signal, Vector::Ones(37), 1, 0.25);
  CHECK((moved - mesh.V).rowwise().norm().maxCoeff() == doctest::Approx(0.25));
  CHECK(moved.row(36) == mesh.V.row(36));
}

TEST_CASE("displace_along_normals: throws") {
  const Mesh mesh = testing::grid(3);
  const Vector nine = Vector::Ones(9);
  CHECK_THROWS_AS(displace_along_normals(mesh.V, mesh.F, nine.head(8), nine, 1, 1), std::invalid_argument);
  CHECK_THROWS_AS(displace_along_normals(mesh.V, mesh.F, nine, nine.head(8), 1, 1), std::invalid_argument);
  CHECK_THROWS_AS(displace_along_normals(mesh.V, mesh.F, nine, nine, 1, -1), std::invalid_argument);
}

TEST_CASE("displace_by_shading: a constant intensity does not change a plane") {
  const Mesh mesh = testing::grid(8);
  for (const bool attenuate : {false, true}) {
    const Points moved = displace_by_shading(mesh.V, mesh.F, Vector::Constant(64, 0.7), Vector::Ones(64),
                                             {1.5, 3, 0.5, attenuate});
    CHECK((moved - mesh.V).norm() < 1e-12);
  }
}

TEST_CASE("displace_by_shading: a bright vertex moves outward, a dark one inward, symmetrically") {
  const Mesh mesh = testing::grid(9);
  Vector intensity = Vector::Zero(81);
  intensity[40] = 0.1;
  const ShadingOptions options{1.5, 3, 0.5, true};
  const Points bright = displace_by_shading(mesh.V, mesh.F, intensity, Vector::Ones(81), options);
  const Points dark = displace_by_shading(mesh.V, mesh.F, -intensity, Vector::Ones(81), options);
  CHECK(bright(40, 2) > 0.01);
  CHECK(bright(40, 2) == doctest::Approx(-dark(40, 2)));
  CHECK(bright.col(2).maxCoeff() <= 0.5);
}

TEST_CASE("displace_by_shading: the intensity of vertices of weight 0 is not used") {
  const Mesh mesh = testing::relief(9, 0.5);
  Vector intensity = 0.1 * testing::normal_values(81, 1, 4), weight = Vector::Ones(81);
  weight.head(30).setZero();
  const ShadingOptions options{1.5, 3, 0.5, true};
  const Points moved = displace_by_shading(mesh.V, mesh.F, intensity, weight, options);
  intensity.head(30).setConstant(1e6);
  CHECK((displace_by_shading(mesh.V, mesh.F, intensity, weight, options) - moved).norm() < 1e-12);
}

TEST_CASE("displace_by_shading: no triangle turns by more than 60 degrees") {
  const Mesh mesh = testing::relief(10, 2.0);
  const Vector intensity = testing::normal_values(100, 1, 5);
  const Points moved =
      displace_by_shading(mesh.V, mesh.F, intensity, Vector::Ones(100), {1.5, 50, 10, false});
  const Points before = face_normals(mesh.V, mesh.F), after = face_normals(moved, mesh.F);
  CHECK(before.cwiseProduct(after).rowwise().sum().minCoeff() >= 0.5 - 1e-12);
  CHECK((moved - mesh.V).norm() > 1);
}

TEST_CASE("displace_by_shading: throws") {
  Mesh mesh = testing::grid(3);
  const Vector nine = Vector::Ones(9);
  const auto displace = [&](const Vector& intensity, const Vector& weight, double time, double max_step) {
    return displace_by_shading(mesh.V, mesh.F, intensity, weight, {time, 1, max_step, true});
  };
  CHECK_THROWS_AS(displace(nine.head(8), nine, 1, 1), std::invalid_argument);
  CHECK_THROWS_AS(displace(nine, nine.head(8), 1, 1), std::invalid_argument);
  CHECK_THROWS_AS(displace(nine, nine, -1, 1), std::invalid_argument);
  CHECK_THROWS_AS(displace(nine, nine, 1, -1), std::invalid_argument);
}

TEST_CASE("displace_by_shading: throws SolverError for needles on which the diffusion does not converge") {
  Mesh mesh = testing::grid(30);
  Vector intensity(900);
  for (Index i = 0; i < 900; ++i) {
    mesh.V(i, 0) *= std::pow(10.0, 5.0 * double(i) / 899);
    intensity[i] = std::sin(double(i));
  }
  CHECK_THROWS_AS(displace_by_shading(mesh.V, mesh.F, intensity, Vector::Ones(900), {1e12, 1, 1, true}),
                  SolverError);
}
