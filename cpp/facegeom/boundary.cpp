#include <facegeom/boundary.h>
#include <facegeom/edge_matrix.h>

namespace facegeom {

std::vector<char> boundary_vertices(FacesIn F, Index n) {
  // For each edge, how much more often triangles use it upwards (from its lower vertex) than downwards.
  const auto direction = [](Index from, Index to) { return from < to ? 1 : -1; };
  const auto edges = assemble_edges<std::int32_t>(F, n, false, [&](Index f) {
    const Index a = F(f, 0), b = F(f, 1), c = F(f, 2);
    return std::array<std::int32_t, 3>{direction(b, c), direction(c, a), direction(a, b)};
  });
  std::vector<char> out(std::size_t(n), 0);
  for (Index i = 0; i < n; ++i) {
    for (std::int32_t s = edges.starts[i]; s < edges.starts[i + 1]; ++s) {
      if (edges.values[s] != 0) out[std::size_t(i)] = 1;
    }
  }
  return out;
}

}  // namespace facegeom
