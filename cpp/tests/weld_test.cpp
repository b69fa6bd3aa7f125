#include "helpers.h"

#include <facegeom/registration/weld.h>

using namespace facegeom;
using registration::WeldedMesh;

TEST_CASE("WeldedMesh: a mesh without equal positions is unchanged") {
  const testing::Mesh mesh = testing::icosphere(1);
  const EmbeddedMesh given{mesh.V, mesh.F, Rows(mesh.V.rows(), 0)};
  const WeldedMesh welded(given);
  CHECK_FALSE(welded.changed());
  CHECK(welded.mesh().V.data() == mesh.V.data());
  CHECK(welded.place(5) == 5);
}

TEST_CASE("WeldedMesh: split vertices become one, unused ones are left out") {
  Points V(8, 3);
  V << 9, 9, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, -0.0, 1, 1, 0, 0, 1, 0, 0, 0, 0;
  Faces F(2, 3);
  F << 1, 2, 3, 4, 5, 6;
  const Rows E = V.leftCols(2);
  const EmbeddedMesh given{V, F, E};
  const WeldedMesh welded(given);
  REQUIRE(welded.changed());
  const EmbeddedMesh mesh = welded.mesh();
  CHECK(mesh.V.rows() == 4);
  CHECK(mesh.E.rows() == 4);
  CHECK(mesh.F == (Faces(2, 3) << 0, 1, 2, 1, 3, 2).finished());
  CHECK(welded.place(0) == -1);
  CHECK(welded.place(7) == -1);
  CHECK(welded.place(6) == welded.place(3));
  CHECK(welded.origin(3) == 5);
}
