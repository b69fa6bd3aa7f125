#include "helpers.h"

#include <facegeom/boundary.h>
#include <facegeom/edge_matrix.h>

#include <numeric>

using namespace facegeom;
using testing::Mesh;

namespace {

Index count(const std::vector<char>& flags) { return std::accumulate(flags.begin(), flags.end(), Index(0)); }

}  // namespace

TEST_CASE("boundary_vertices: outline of a grid") {
  const Mesh mesh = testing::grid(5);
  const std::vector<char> boundary = boundary_vertices(mesh.F, 25);
  for (Index y = 0; y < 5; ++y) {
    for (Index x = 0; x < 5; ++x) {
      const bool outline = x == 0 || y == 0 || x == 4 || y == 4;
      CHECK(bool(boundary[std::size_t(5 * y + x)]) == outline);
    }
  }
}

TEST_CASE("boundary_vertices: a closed surface has none, nor does a vertex without triangles") {
  CHECK(count(boundary_vertices(testing::icosphere(2).F, 162)) == 0);
  CHECK(count(boundary_vertices(testing::tetrahedron().F, 6)) == 0);
}

TEST_CASE("boundary_vertices: two triangles that use an edge in the same direction have a boundary there") {
  Faces F(2, 3);
  F << 0, 1, 2, 0, 1, 3;
  CHECK(count(boundary_vertices(F, 4)) == 4);
}

TEST_CASE("boundary_vertices: a triangle and its reverse close each other") {
  Faces F(2, 3);
  F << 0, 1, 2, 2, 1, 0;
  CHECK(count(boundary_vertices(F, 3)) == 0);
}

TEST_CASE("boundary_vertices: throws for a mesh that is too large for 32-bit indices") {
  CHECK_THROWS_AS(boundary_vertices(Faces(0, 3), testing::kTooManyRows), std::invalid_argument);
}

TEST_CASE("assemble_edges: sums the values of each edge on both sides of the diagonal") {
  Faces F(2, 3);
  F << 0, 1, 2, 2, 1, 3;  // edge 1-2 is opposite to corner 0 of the first, corner 2 of the second
  const auto values = [](Index f) {
    const double base = f == 0 ? 1 : 10;
    return std::array<double, 3>{base, 2 * base, 3 * base};
  };
  const EdgeMatrix<double> A = assemble_edges<double>(F, 4, true, values);
  REQUIRE(A.starts.size() == 5);
  Eigen::Matrix4d dense = Eigen::Matrix4d::Zero();
  for (Index i = 0; i < 4; ++i) {
    CHECK(A.columns[A.diagonal[i]] == i);
    for (std::int32_t s = A.starts[i]; s < A.starts[i + 1]; ++s) {
      if (s > A.starts[i]) CHECK(A.columns[s] > A.columns[s - 1]);
      dense(i, A.columns[s]) = A.values[s];
    }
  }
  Eigen::Matrix4d expected = Eigen::Matrix4d::Zero();
  expected(1, 2) = 1 + 30;
  expected(0, 2) = 2;
  expected(0, 1) = 3;
  expected(1, 3) = 10;
  expected(2, 3) = 20;
  expected += expected.transpose().eval();
  CHECK(dense == expected);
}

TEST_CASE("assemble_edges: ignores an edge from a vertex to itself") {
  Faces F(1, 3);
  F << 0, 0, 1;
  const auto edges = assemble_edges<int>(F, 2, false, [](Index) { return std::array<int, 3>{1, 1, 1}; });
  REQUIRE(edges.columns.size() == 2);
  CHECK(edges.values[0] == 2);
}

TEST_CASE("assemble_edges: throws for a mesh that is too large for 32-bit indices") {
  const auto nothing = [](Index) { return std::array<char, 3>{}; };
  CHECK_THROWS_AS(assemble_edges<char>(Faces(0, 3), testing::kTooManyRows, false, nothing),
                  std::invalid_argument);
}
