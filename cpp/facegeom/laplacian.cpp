#include <facegeom/laplacian.h>
#include <facegeom/triangle.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace facegeom {

namespace {

//! Minimum mass of a vertex as a fraction of the mean: the stiffness of slivers would grow without limit.
constexpr double kMinMass = 1e-3;
//! Maximum of the sum of the squared row lengths of a Laplacian, which bounds the number of entries of its
//! bilaplacian: about 49 per vertex, but the square of the number of triangles at a vertex with very many.
constexpr Index kMaxSquaredLengths = Index(1) << 28;

//! Set the diagonal so that every row sums to zero.
Csr close_rows(EdgeMatrix<double>&& edges) {
  Csr L{std::move(edges.starts), std::move(edges.columns), std::move(edges.values)};
  for (Index i = 0; i < L.rows(); ++i) {
    double sum = 0;
    for (std::int32_t s = L.starts[i]; s < L.starts[i + 1]; ++s) sum += L.values[s];
    L.values[edges.diagonal[i]] = -sum;
  }
  return L;
}

//! Half the cotangents at the three corners, all zero for a degenerate triangle.
std::array<double, 3> half_cotangents(const Triangle& t) {
  if (t.degenerate()) return {0, 0, 0};
  const double scale = -0.5 / std::sqrt(t.area_normal.squared());
  return {scale * t.edge1.dot(t.edge2), scale * t.edge2.dot(t.edge0), scale * t.edge0.dot(t.edge1)};
}

}  // namespace

Csr uniform_laplacian(FacesIn F, Index n) {
  EdgeMatrix<double> edges =
      assemble_edges<double>(F, n, true, [](Index) { return std::array<double, 3>{1, 1, 1}; });
  for (Index i = 0; i < n; ++i) {
    for (std::int32_t s = edges.starts[i]; s < edges.starts[i + 1]; ++s) {
      edges.values[s] = s == edges.diagonal[i] ? 0 : -1;
    }
  }
  return close_rows(std::move(edges));
}

Csr cotangent_laplacian(PointsIn V, FacesIn F) {
  return close_rows(assemble_edges<double>(F, V.rows(), true, [&](Index f) {
    const std::array<double, 3> half = half_cotangents(Triangle(V.data(), F.data() + 3 * f));
    return std::array<double, 3>{-half[0], -half[1], -half[2]};
  }));
}

Vector mass_matrix(PointsIn V, FacesIn F) {
  Vector mass = Vector::Zero(V.rows());
  for (Index f = 0; f < F.rows(); ++f) {
    const Triangle t(V.data(), F.data() + 3 * f);
    if (t.degenerate()) continue;
    const double area = 0.5 * std::sqrt(t.area_normal.squared());
    const std::array<double, 3> half = half_cotangents(t);
    std::array<double, 3> share;
    if (half[0] >= 0 && half[1] >= 0 && half[2] >= 0) {
      // The Voronoi cells meet at the circumcentre, inside the triangle.
      const double e0 = 0.25 * half[0] * t.edge0.squared();
      const double e1 = 0.25 * half[1] * t.edge1.squared();
      const double e2 = 0.25 * half[2] * t.edge2.squared();
      share = {e1 + e2, e2 + e0, e0 + e1};
    } else {
      for (std::size_t k = 0; k < 3; ++k) share[k] = half[k] < 0 ? area / 2 : area / 4;
    }
    for (int k = 0; k < 3; ++k) mass[F(f, k)] += share[std::size_t(k)];
  }
  return mass;
}

Csr bilaplacian(const Csr& L, const Vector& area) {
  const Index n = L.rows();
  const double least = kMinMass * area.mean();
  const Vector mass = area.cwiseMax(least > 0 ? least : 1);
  Index squares = 0;
  for (Index i = 0; i < n; ++i) {
    const Index length = L.starts[i + 1] - L.starts[i];
    squares += length * length;
  }
  if (squares > kMaxSquaredLengths) {
    throw std::invalid_argument("the mesh is too large, or too many triangles share a vertex");
  }
  std::vector<std::int32_t> columns;
  std::vector<double> values;
  columns.reserve(std::size_t(3 * L.columns.size()));
  values.reserve(std::size_t(3 * L.columns.size()));
  Csr K;
  K.starts.resize(n + 1);
  K.starts[0] = 0;
  std::vector<double> sum(std::size_t(n), 0);
  std::vector<Index> seen(std::size_t(n), -1);
  WorkCounter work;
  for (Index i = 0; i < n; ++i) {
    const std::size_t first = columns.size();
    for (std::int32_t s = L.starts[i]; s < L.starts[i + 1]; ++s) {
      const std::int32_t k = L.columns[s];
      work.add(kUnitsPerTriangle);
      const double factor = L.values[s] / mass[k];
      for (std::int32_t t = L.starts[k]; t < L.starts[k + 1]; ++t) {
        const std::int32_t j = L.columns[t];
        if (seen[std::size_t(j)] != i) {
          seen[std::size_t(j)] = i;
          sum[std::size_t(j)] = 0;
          columns.push_back(j);
        }
        sum[std::size_t(j)] += factor * L.values[t];
      }
    }
    std::sort(columns.begin() + std::ptrdiff_t(first), columns.end());
    for (std::size_t s = first; s < columns.size(); ++s) values.push_back(sum[std::size_t(columns[s])]);
    K.starts[i + 1] = static_cast<std::int32_t>(columns.size());
  }
  K.columns = Eigen::Map<const Slots>(columns.data(), Index(columns.size()));
  K.values = Eigen::Map<const Vector>(values.data(), Index(values.size()));
  return K;
}

Points mean_curvature_normals(PointsIn V, FacesIn F) {
  const Csr L = cotangent_laplacian(V, F);
  const Vector mass = mass_matrix(V, F);
  Points H(V.rows(), 3);
  for (Index i = 0; i < V.rows(); ++i) {
    // Differences to the vertex make the result independent of translations.
    const Vec3 v = load_point(V.data(), i);
    Vec3 sum{0, 0, 0};
    for (std::int32_t s = L.starts[i]; s < L.starts[i + 1]; ++s) {
      const Vec3 d = load_point(V.data(), L.columns[s]) - v;
      sum = {sum.x + L.values[s] * d.x, sum.y + L.values[s] * d.y, sum.z + L.values[s] * d.z};
    }
    const double scale = mass[i] > 0 ? 0.5 / mass[i] : 0;
    H.row(i) << scale * sum.x, scale * sum.y, scale * sum.z;
  }
  return H;
}

Rows multiply(SlotsIn starts, SlotsIn columns, VectorIn values, RowsIn x) {
  const Index n = starts.size() - 1;
  const Index count = columns.size();
  if (n < 0 || starts[0] != 0 || starts[n] != count || values.size() != count) {
    throw std::invalid_argument("indptr must run from 0 to the number of entries");
  }
  Rows y = Rows::Zero(n, x.cols());
  WorkCounter work;
  for (Index i = 0; i < n; ++i) {
    if (starts[i + 1] < starts[i] || starts[i + 1] > count) {
      throw std::invalid_argument("indptr must be non-decreasing");
    }
    for (std::int32_t s = starts[i]; s < starts[i + 1]; ++s) {
      const Index j = columns[s];
      work.add(x.cols());
      if (j < 0 || j >= x.rows()) throw std::invalid_argument("indices must lie within the matrix");
      y.row(i) += values[s] * x.row(j);
    }
  }
  return y;
}

}  // namespace facegeom
