#include "helpers.h"

#include <facegeom/cleanup.h>

#include <limits>

using namespace facegeom;
using testing::Mesh;

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("connected_components: triangles that share an edge, numbered by their first triangle") {
  Faces F(5, 3);
  F << 0, 1, 2, 5, 6, 7, 2, 1, 3, 7, 6, 8, 0, 9, 10;
  Indices expected(5);
  expected << 0, 1, 0, 1, 2;
  CHECK(connected_components(F, 11) == expected);
  CHECK(connected_components(Faces(0, 3), 0).size() == 0);
}

TEST_CASE("connected_components: a common vertex does not connect") {
  Indices expected(2);
  expected << 0, 1;
  CHECK(connected_components(testing::bow_tie().F, 5) == expected);
}

TEST_CASE("unpinched_triangles: keeps the larger fan, the first among equals") {
  Faces F(3, 3);
  F << 0, 3, 4, 0, 1, 2, 0, 2, 5;
  Indices larger(2);
  larger << 1, 2;
  CHECK(unpinched_triangles(F, 6) == larger);
  CHECK(unpinched_triangles(testing::bow_tie().F, 5) == Indices::Zero(1));
}

TEST_CASE("unpinched_triangles: a manifold mesh loses nothing") {
  const Mesh mesh = testing::grid(5);
  CHECK(unpinched_triangles(mesh.F, 25) == Indices::LinSpaced(32, 0, 31));
}

TEST_CASE("submesh: the triangles with the vertices that they use") {
  const Mesh mesh = testing::grid(3);
  Indices rows(2);
  rows << 7, 6;
  const Submesh part = submesh(mesh.V, mesh.F, rows);
  Indices vertices(4);
  vertices << 4, 5, 7, 8;
  CHECK(part.vertices == vertices);
  for (Index f = 0; f < 2; ++f) {
    for (int k = 0; k < 3; ++k) CHECK(part.V.row(part.F(f, k)) == mesh.V.row(mesh.F(rows[f], k)));
  }
}

TEST_CASE("remove_spikes: an even mesh loses nothing") {
  const Mesh mesh = testing::relief(12, 1.0);
  const Submesh kept = remove_spikes(mesh.V, mesh.F, {8, 6, 0.05});
  CHECK(kept.F == mesh.F);
  CHECK(kept.V == mesh.V);
}

TEST_CASE("remove_spikes: a spike, a zero-area triangle and a small component are removed") {
  Mesh mesh = testing::grid(12);
  const Index n = mesh.V.rows(), m = mesh.F.rows();
  mesh.V(40, 2) = 1e4;
  mesh.V.conservativeResize(n + 3, 3);
  mesh.V.bottomRows(3) << 50, 50, 0, 51, 50, 0, 50, 51, 0;
  mesh.F.conservativeResize(m + 2, 3);
  mesh.F.bottomRows(2) << n, n + 1, n + 2, 0, 1, 1;
  const Submesh kept = remove_spikes(mesh.V, mesh.F, {8, 6, 0.05});
  CHECK(kept.F.rows() == m - 6);  // the six triangles at the spike
  CHECK(kept.V.rows() == n - 1);
  CHECK(kept.V.col(2).maxCoeff() == 0);
}

TEST_CASE("remove_spikes: infinite factors keep every triangle of positive area") {
  Mesh mesh = testing::grid(6);
  mesh.V(14, 2) = 1e4;
  CHECK(remove_spikes(mesh.V, mesh.F, {kNever, kNever, 0}).F.rows() == mesh.F.rows());
}
