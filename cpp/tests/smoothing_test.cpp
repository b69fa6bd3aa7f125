#include "helpers.h"

#include <facegeom/laplacian.h>
#include <facegeom/smoothing.h>

#include <cmath>
#include <limits>

using namespace facegeom;
using testing::Mesh;

TEST_CASE("laplacian_smooth: one step moves a vertex by a share of the way to the mean of its neighbours") {
  Mesh mesh = testing::grid(3);
  mesh.V(4, 2) = 1;
  const Points smooth = laplacian_smooth(mesh.V, mesh.F, 1, 0.25, true);
  CHECK(smooth(4, 2) == doctest::Approx(0.75));
  CHECK((smooth.col(2).head(4)).norm() == 0);
}

TEST_CASE("laplacian_smooth: without iterations or with step 0 nothing moves") {
  const Mesh mesh = testing::relief(6, 2.0);
  CHECK(laplacian_smooth(mesh.V, mesh.F, 0, 0.5, false) == mesh.V);
  CHECK((laplacian_smooth(mesh.V, mesh.F, 3, 0, false) - mesh.V).norm() == 0);
}

TEST_CASE("laplacian_smooth: a boundary is fixed, or moves along itself only") {
  const Mesh mesh = testing::relief(7, 2.0);
  const Points fixed = laplacian_smooth(mesh.V, mesh.F, 5, 0.5, true);
  const Points free = laplacian_smooth(mesh.V, mesh.F, 5, 0.5, false);
  for (Index x = 0; x < 7; ++x) {
    CHECK(fixed.row(x) == mesh.V.row(x));
    if (x > 4 || x < 2) continue;
    CHECK(free(x, 1) < 1e-1);  // it does not shrink into the surface
  }
  CHECK((fixed.row(24) - mesh.V.row(24)).norm() > 0);
}

TEST_CASE("laplacian_smooth: vertices without triangles do not move") {
  Mesh mesh = testing::grid(4);
  mesh.V.conservativeResize(17, 3);
  mesh.V.row(16) << 7, 8, 9;
  CHECK(laplacian_smooth(mesh.V, mesh.F, 4, 1, false).row(16) == mesh.V.row(16));
}

TEST_CASE("laplacian_smooth: throws") {
  const Mesh mesh = testing::grid(3);
  CHECK_THROWS_AS(laplacian_smooth(mesh.V, mesh.F, -1, 0.5, false), std::invalid_argument);
  for (const double step : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(laplacian_smooth(mesh.V, mesh.F, 1, step, false), std::invalid_argument);
  }
  CHECK_THROWS_AS(
      laplacian_smooth(testing::unreadable<Points>(testing::kTooManyRows, 3), Faces(0, 3), 1, 0.5, false),
      std::invalid_argument);
}

TEST_CASE("heat_smooth: solves (M + time L) u = M values") {
  const Mesh mesh = testing::relief(8, 3.0);
  for (const Index columns : {1, 2, 3, 4, 7}) {
    const Rows values = testing::normal_values(64, columns, 5);
    const Rows u = heat_smooth(mesh.V, mesh.F, values, 0.7, 1e-12);
    const Csr L = cotangent_laplacian(mesh.V, mesh.F);
    const Vector mass = mass_matrix(mesh.V, mesh.F);
    const Rows residual = mass.asDiagonal() * (u - values) + 0.7 * multiply(L.starts, L.columns, L.values, u);
    CHECK(residual.norm() < 1e-10);
  }
}

TEST_CASE("heat_smooth: keeps constants and the integral; a long time gives the mean") {
  const Mesh sphere = testing::icosphere(2);
  const Vector mass = mass_matrix(sphere.V, sphere.F);
  CHECK((heat_smooth(sphere.V, sphere.F, Rows::Constant(162, 1, 3), 5, 1e-12).array() - 3).abs().maxCoeff() <
        1e-10);
  const Rows values = testing::normal_values(162, 1, 6);
  const Rows u = heat_smooth(sphere.V, sphere.F, values, 1e6, 1e-13);
  CHECK(mass.dot(u.col(0)) == doctest::Approx(mass.dot(values.col(0))));
  CHECK(u.maxCoeff() - u.minCoeff() < 1e-4);
}

TEST_CASE("heat_smooth: time 0 and vertices without area keep the values") {
  Mesh mesh = testing::grid(4);
  mesh.V.conservativeResize(17, 3);
  mesh.V.row(16) << 7, 8, 9;
  const Rows values = testing::normal_values(17, 2, 7);
  CHECK((heat_smooth(mesh.V, mesh.F, values, 0, 1e-12) - values).norm() < 1e-10);
  CHECK((heat_smooth(mesh.V, mesh.F, values, 3, 1e-12) - values).row(16).norm() < 1e-12);
}

TEST_CASE("heat_smooth: throws") {
  const Mesh mesh = testing::grid(3);
  CHECK_THROWS_AS(heat_smooth(mesh.V, mesh.F, Rows::Ones(8, 1), 1, 1e-6), std::invalid_argument);
  CHECK_THROWS_AS(heat_smooth(mesh.V, mesh.F, Rows::Ones(9, 1), -1, 1e-6), std::invalid_argument);
}

TEST_CASE("heat_smooth: throws SolverError for needles on which the iterations do not converge") {
  Mesh mesh = testing::grid(30);
  for (Index i = 0; i < 900; ++i) mesh.V(i, 0) *= std::pow(10.0, 5.0 * double(i) / 899);
  Rows values(900, 1);
  for (Index i = 0; i < 900; ++i) values(i, 0) = std::sin(double(i));
  CHECK_THROWS_AS(heat_smooth(mesh.V, mesh.F, values, 1e12, 1e-12), SolverError);
}

TEST_CASE("MeshSolver: equals heat_smooth") {
  const Mesh mesh = testing::relief(9, 2.0);
  const MeshSolver solver(mesh.V, mesh.F, 1.5);
  for (const Index columns : {0, 1, 2, 3, 6}) {
    const Rows values = testing::normal_values(81, columns, 8);
    CHECK((solver.smooth(values) - heat_smooth(mesh.V, mesh.F, values, 1.5, 1e-13)).norm() < 1e-10);
  }
}

TEST_CASE("MeshSolver: throws") {
  const Mesh mesh = testing::grid(3);
  CHECK_THROWS_AS(MeshSolver(mesh.V, mesh.F, -1), std::invalid_argument);
  CHECK_THROWS_AS(MeshSolver(mesh.V, mesh.F, std::numeric_limits<double>::infinity()), SolverError);
  CHECK_THROWS_AS(MeshSolver(mesh.V, mesh.F, 1).smooth(Rows::Ones(8, 1)), std::invalid_argument);
}
