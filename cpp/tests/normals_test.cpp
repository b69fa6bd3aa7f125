#include "helpers.h"

#include <facegeom/normals.h>

using namespace facegeom;
using testing::Mesh;

TEST_CASE("face_normals: a plane faces +z, its reverse -z") {
  const Mesh mesh = testing::grid(4);
  const Points N = face_normals(mesh.V, mesh.F);
  CHECK((N.rowwise() - Eigen::RowVector3d(0, 0, 1)).norm() == 0);
  const Faces reversed = mesh.F.rowwise().reverse();
  CHECK((face_normals(mesh.V, reversed) + N).norm() == 0);
}

TEST_CASE("face_normals: zero for a degenerate triangle") {
  Points V(3, 3);
  V << 0, 0, 0, 1, 1, 1, 2, 2, 2;
  Faces F(1, 3);
  F << 0, 1, 2;
  CHECK(face_normals(V, F).norm() == 0);
  CHECK(vertex_normals(V, F).norm() == 0);
}

TEST_CASE("vertex_normals: on a sphere they are the positions") {
  const Mesh sphere = testing::icosphere(3);
  const Points N = vertex_normals(sphere.V, sphere.F);
  CHECK((N - sphere.V).rowwise().norm().maxCoeff() < 0.01);
  CHECK((N.rowwise().norm().array() - 1).abs().maxCoeff() < 1e-12);
}

TEST_CASE("vertex_normals: weighted by area; zero without triangles") {
  Points V(6, 3);
  V << 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 5, 5, 5, 0, 0, 0;
  Faces F(2, 3);
  F << 0, 1, 2, 0, 2, 3;  // areas 1 and 1.5 with normals +z and +x
  const Points N = vertex_normals(V, F);
  const Eigen::RowVector3d expected = Eigen::RowVector3d(1.5, 0, 1).normalized();
  CHECK((N.row(0) - expected).norm() < 1e-15);
  CHECK(N.row(4).norm() == 0);
}

TEST_CASE("normals: rotate with the mesh, and do not change with its scale") {
  const Mesh mesh = testing::relief(8, 2.0);
  const Eigen::Matrix3d R = testing::rotation(4);
  for (const double scale : {1e-6, 1.0, 1e6}) {
    const Points moved = scale * (mesh.V * R.transpose());
    CHECK((face_normals(moved, mesh.F) - face_normals(mesh.V, mesh.F) * R.transpose()).norm() < 1e-12);
    CHECK((vertex_normals(moved, mesh.F) - vertex_normals(mesh.V, mesh.F) * R.transpose()).norm() < 1e-12);
  }
}
