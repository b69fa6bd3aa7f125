#include "helpers.h"

#include <facegeom/boundary.h>
#include <facegeom/laplacian.h>
#include <facegeom/normals.h>
#include <facegeom/subdivision.h>

using namespace facegeom;
using testing::Mesh;

TEST_CASE("subdivide: midpoints keep the surface, its orientation and its boundary") {
  const Mesh mesh = testing::relief(5, 2.0);
  const Subdivision fine = subdivide(mesh.V, mesh.F, SubdivisionScheme::kMidpoint);
  const Index edges = 25 + mesh.F.rows() - 1;  // Euler: V - E + F = 1 for a disc
  CHECK(fine.V.rows() == 25 + edges);
  CHECK(fine.F.rows() == 4 * mesh.F.rows());
  CHECK(fine.V.topRows(25) == mesh.V);
  CHECK(mass_matrix(fine.V, fine.F).sum() == doctest::Approx(mass_matrix(mesh.V, mesh.F).sum()));
  const Points coarse_N = face_normals(mesh.V, mesh.F), N = face_normals(fine.V, fine.F);
  for (Index f = 0; f < N.rows(); ++f) CHECK((N.row(f) - coarse_N.row(f / 4)).norm() < 1e-12);
}

TEST_CASE("subdivide: parents are the ends of the edges") {
  const Mesh mesh = testing::tetrahedron();
  const Subdivision fine = subdivide(mesh.V, mesh.F, SubdivisionScheme::kMidpoint);
  REQUIRE(fine.V.rows() == 10);
  for (Index i = 0; i < 10; ++i) {
    const Index a = fine.parents(i, 0), b = fine.parents(i, 1);
    CHECK(fine.V.row(i) == 0.5 * (mesh.V.row(a) + mesh.V.row(b)));
    if (i < 4) CHECK((a == i && b == i));
    if (i > 4) CHECK(4 * fine.parents(i - 1, 0) + fine.parents(i - 1, 1) < 4 * a + b);
  }
}

TEST_CASE("subdivide: Loop's rules inside a regular plane keep the plane's parametrisation") {
  const Mesh mesh = testing::grid(6);
  const Subdivision fine = subdivide(mesh.V, mesh.F, SubdivisionScheme::kLoop);
  for (Index y = 1; y < 5; ++y) {
    for (Index x = 1; x < 5; ++x) CHECK((fine.V.row(6 * y + x) - mesh.V.row(6 * y + x)).norm() < 1e-14);
  }
  CHECK(fine.V.col(2).norm() == 0);
}

TEST_CASE("subdivide: Loop smooths: an icosahedron becomes rounder, and stays closed") {
  Mesh mesh = testing::icosphere(0);
  for (int k = 0; k < 3; ++k) {
    Subdivision fine = subdivide(mesh.V, mesh.F, SubdivisionScheme::kLoop);
    mesh = {fine.V, fine.F};
  }
  const Vector radius = mesh.V.rowwise().norm();
  CHECK(radius.maxCoeff() < 1);
  CHECK(radius.maxCoeff() / radius.minCoeff() < 1.06);
  for (const char boundary : boundary_vertices(mesh.F, mesh.V.rows())) CHECK_FALSE(boundary);
}

TEST_CASE("subdivide: Loop moves a boundary along itself") {
  const Mesh mesh = testing::grid(4);
  const Subdivision fine = subdivide(mesh.V, mesh.F, SubdivisionScheme::kLoop);
  for (Index x = 1; x < 3; ++x) CHECK((fine.V.row(x) - mesh.V.row(x)).norm() < 1e-15);
  const Eigen::RowVector3d corner(0.125, 0.125, 0);
  CHECK((fine.V.row(0) - corner).norm() < 1e-15);
}

TEST_CASE("subdivide: throws") {
  Faces F(1, 3);
  F << 0, 1, 1;
  CHECK_THROWS_AS(subdivide(testing::tetrahedron().V, F, SubdivisionScheme::kMidpoint),
                  std::invalid_argument);
  CHECK_THROWS_AS(subdivide(testing::unreadable<Points>(testing::kTooManyRows, 3), Faces(0, 3),
                            SubdivisionScheme::kMidpoint),
                  std::invalid_argument);
}
