#include "helpers.h"

#include <facegeom/subdivision.h>

#include <Eigen/Geometry>
#include <cmath>

namespace facegeom::testing {

Mesh grid(Index size) {
  Mesh mesh{Points(size * size, 3), Faces(2 * (size - 1) * (size - 1), 3)};
  for (Index y = 0; y < size; ++y) {
    for (Index x = 0; x < size; ++x) mesh.V.row(y * size + x) << double(x), double(y), 0;
  }
  Index f = 0;
  for (Index y = 0; y + 1 < size; ++y) {
    for (Index x = 0; x + 1 < size; ++x) {
      const Index a = y * size + x, b = a + 1, c = a + size, d = c + 1;
      mesh.F.row(f++) << a, b, d;
      mesh.F.row(f++) << a, d, c;
    }
  }
  return mesh;
}

Mesh relief(Index size, double height) {
  Mesh mesh = grid(size);
  const double scale = 3.0 / double(size);
  for (Index i = 0; i < mesh.V.rows(); ++i) {
    mesh.V(i, 2) = height * std::sin(scale * mesh.V(i, 0)) * std::cos(scale * mesh.V(i, 1) + 0.5);
  }
  return mesh;
}

Mesh tetrahedron() {
  Mesh mesh{Points(4, 3), Faces(4, 3)};
  mesh.V << 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1;
  mesh.F << 0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3;
  return mesh;
}

Mesh icosphere(int level) {
  const double t = (1 + std::sqrt(5.0)) / 2;
  Mesh mesh{Points(12, 3), Faces(20, 3)};
  mesh.V << -1, t, 0, 1, t, 0, -1, -t, 0, 1, -t, 0, 0, -1, t, 0, 1, t, 0, -1, -t, 0, 1, -t, t, 0, -1, t, 0, 1,
      -t, 0, -1, -t, 0, 1;
  mesh.F << 0, 11, 5, 0, 5, 1, 0, 1, 7, 0, 7, 10, 0, 10, 11, 1, 5, 9, 5, 11, 4, 11, 10, 2, 10, 7, 6, 7, 1, 8,
      3, 9, 4, 3, 4, 2, 3, 2, 6, 3, 6, 8, 3, 8, 9, 4, 9, 5, 2, 4, 11, 6, 2, 10, 8, 6, 7, 9, 8, 1;
  for (int k = 0; k < level; ++k) {
    Subdivision finer = subdivide(mesh.V, mesh.F, SubdivisionScheme::kMidpoint);
    mesh.V = std::move(finer.V);
    mesh.F = std::move(finer.F);
  }
  mesh.V.rowwise().normalize();
  return mesh;
}

Mesh bow_tie() {
  Mesh mesh{Points(5, 3), Faces(2, 3)};
  mesh.V << 0, 0, 0, 1, 0, 0, 1, 1, 0, -1, 0, 0, -1, -1, 0;
  mesh.F << 0, 1, 2, 0, 3, 4;
  return mesh;
}

Eigen::Matrix3d rotation(unsigned seed) {
  std::mt19937 random(seed);
  const auto angle = [&random] { return 6.283185307179586 * double(random()) / 4294967296.0; };
  const double a = angle(), b = angle(), c = angle();
  return (Eigen::AngleAxisd(a, Eigen::Vector3d::UnitX()) * Eigen::AngleAxisd(b, Eigen::Vector3d::UnitY()) *
          Eigen::AngleAxisd(c, Eigen::Vector3d::UnitZ()))
      .toRotationMatrix();
}

Rows normal_values(Index rows, Index cols, unsigned seed) {
  std::mt19937 random(seed);
  const auto uniform = [&random] { return (double(random()) + 0.5) / 4294967296.0; };
  Rows out(rows, cols);
  // Box-Muller: the distributions of the standard library differ between platforms.
  for (Index i = 0; i < out.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    out.data()[i] = radius * std::cos(6.283185307179586 * uniform());
  }
  return out;
}

}  // namespace facegeom::testing
