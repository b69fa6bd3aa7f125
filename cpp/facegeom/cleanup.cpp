#include <facegeom/cleanup.h>
#include <facegeom/interrupt.h>
#include <facegeom/statistics.h>
#include <facegeom/union_find.h>

#include <Eigen/Geometry>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace facegeom {

namespace {

//! Work of a vertex or a triangle, see WorkCounter.
constexpr Index kUnitsPerElement = 32;

//! Standard deviation of a normal distribution over its median absolute deviation.
constexpr double kNormalDeviation = 1.4826;

//! Triangles at each vertex, ascending: elements begin[v] to begin[v + 1] of `triangles`.
struct Stars {
  std::vector<Index> begin, triangles;

  Stars(FacesIn F, Index vertex_count) : begin(size_t(vertex_count) + 1, 0), triangles(size_t(F.size())) {
    for (Index i = 0; i < F.size(); ++i) ++begin[size_t(F(i / 3, i % 3)) + 1];
    for (size_t v = 0; v < size_t(vertex_count); ++v) begin[v + 1] += begin[v];
    std::vector<Index> fill(begin.begin(), begin.end() - 1);
    for (Index i = 0; i < F.size(); ++i) triangles[size_t(fill[size_t(F(i / 3, i % 3))]++)] = i / 3;
  }
};

//! Call join(i, j) for any two elements i, j of Stars::triangles at v whose triangles share an edge at v. For
//! each vertex u, seen_at is the last v whose star contained u, and seen_by the element of that star.
template <typename Join>
void join_star(FacesIn F, const Stars& stars, Index v, std::vector<Index>& seen_by,
               std::vector<Index>& seen_at, const Join& join) {
  for (Index i = stars.begin[size_t(v)]; i < stars.begin[size_t(v) + 1]; ++i) {
    const Index f = stars.triangles[size_t(i)];
    for (int k = 0; k < 3; ++k) {
      const Index u = F(f, k);
      if (u == v) continue;
      if (seen_at[size_t(u)] == v) {
        join(i, seen_by[size_t(u)]);
      }
      seen_at[size_t(u)] = v;
      seen_by[size_t(u)] = i;
    }
  }
}

//! Mark every triangle that is not in the largest fan at one of its vertices.
//! \return whether any triangle is marked
bool mark_pinched(FacesIn F, Index vertex_count, std::vector<char>& marked) {
  const Stars stars(F, vertex_count);
  std::vector<Index> seen_by(size_t(vertex_count), -1), seen_at(size_t(vertex_count), -1), size;
  UnionFind fans(F.size());
  bool any = false;
  WorkCounter work;
  for (Index v = 0; v < vertex_count; ++v) {
    const Index begin = stars.begin[size_t(v)], end = stars.begin[size_t(v) + 1];
    work.add(kUnitsPerElement * (end - begin + 1));
    join_star(F, stars, v, seen_by, seen_at, [&](Index i, Index j) { fans.join(i, j); });
    size.assign(size_t(end - begin), 0);
    for (Index i = begin; i < end; ++i) ++size[size_t(fans.find(i) - begin)];
    const auto largest = std::max_element(size.begin(), size.end());
    if (largest == size.end() || *largest == end - begin) continue;
    const Index kept = begin + (largest - size.begin());
    for (Index i = begin; i < end; ++i) {
      if (fans.find(i) != kept) marked[size_t(stars.triangles[size_t(i)])] = 1;
    }
    any = true;
  }
  return any;
}

//! The value above which a logarithm is an outlier. Minus infinities (triangles without area) are ignored.
double outlier_threshold(const std::vector<double>& logs, double factor) {
  std::vector<double> finite;
  finite.reserve(logs.size());
  for (const double value : logs) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  if (finite.empty() || std::isinf(factor)) return std::numeric_limits<double>::infinity();
  const double middle = median(finite);
  for (double& value : finite) value = std::abs(value - middle);
  return middle + factor * std::max(kMinDeviation, kNormalDeviation * median(std::move(finite)));
}

Faces rows_of(FacesIn F, const Indices& rows) {
  Faces out(rows.size(), 3);
  for (Index i = 0; i < rows.size(); ++i) out.row(i) = F.row(rows[i]);
  return out;
}

Indices unmarked(const std::vector<char>& marked, const Indices& rows) {
  Indices out(rows.size());
  Index kept = 0;
  for (Index i = 0; i < rows.size(); ++i) {
    if (!marked[size_t(i)]) out[kept++] = rows[i];
  }
  out.conservativeResize(kept);
  return out;
}

}  // namespace

Indices connected_components(FacesIn F, Index vertex_count) {
  const Stars stars(F, vertex_count);
  std::vector<Index> seen_by(size_t(vertex_count), -1), seen_at(size_t(vertex_count), -1);
  UnionFind components(F.rows());
  WorkCounter work;
  for (Index v = 0; v < vertex_count; ++v) {
    work.add(kUnitsPerElement);
    join_star(F, stars, v, seen_by, seen_at, [&](Index i, Index j) {
      components.join(stars.triangles[size_t(i)], stars.triangles[size_t(j)]);
    });
  }
  Indices label(F.rows());
  Index count = 0;
  for (Index f = 0; f < F.rows(); ++f) {
    const Index root = components.find(f);
    label[f] = root == f ? count++ : label[root];
  }
  return label;
}

Indices unpinched_triangles(FacesIn F, Index vertex_count) {
  Indices rows = Indices::LinSpaced(F.rows(), 0, F.rows() - 1);
  Faces current = F;
  while (current.rows() > 0) {
    poll_interrupt();
    std::vector<char> marked(size_t(current.rows()), 0);
    if (!mark_pinched(current, vertex_count, marked)) break;
    rows = unmarked(marked, rows);
    current = rows_of(F, rows);
  }
  return rows;
}

Submesh submesh(PointsIn V, FacesIn F, const Indices& triangles) {
  Submesh out;
  std::vector<Index> renamed(size_t(V.rows()), -1);
  for (Index i = 0; i < triangles.size(); ++i) {
    for (int k = 0; k < 3; ++k) renamed[size_t(F(triangles[i], k))] = 0;
  }
  Index count = 0;
  for (Index& name : renamed) {
    if (name == 0) name = count++;
  }
  out.V.resize(count, 3);
  out.vertices.resize(count);
  for (Index v = 0; v < V.rows(); ++v) {
    const Index name = renamed[size_t(v)];
    if (name < 0) continue;
    out.V.row(name) = V.row(v);
    out.vertices[name] = v;
  }
  out.F.resize(triangles.size(), 3);
  for (Index i = 0; i < triangles.size(); ++i) {
    for (int k = 0; k < 3; ++k) out.F(i, k) = renamed[size_t(F(triangles[i], k))];
  }
  return out;
}

Submesh remove_spikes(PointsIn V, FacesIn F, const SpikeOptions& options) {
  std::vector<double> log_area(size_t(F.rows())), log_edge(size_t(F.rows()));
  WorkCounter work;
  for (Index f = 0; f < F.rows(); ++f) {
    work.add(2 * kUnitsPerElement);  // two logarithms
    const Eigen::RowVector3d ab = V.row(F(f, 1)) - V.row(F(f, 0));
    const Eigen::RowVector3d ac = V.row(F(f, 2)) - V.row(F(f, 0));
    log_area[size_t(f)] = std::log(ab.cross(ac).norm());
    log_edge[size_t(f)] =
        std::log(std::max({ab.squaredNorm(), ac.squaredNorm(), (ac - ab).squaredNorm()})) / 2;
  }
  const double area_limit = outlier_threshold(log_area, options.area_factor);
  poll_interrupt();
  const double edge_limit = outlier_threshold(log_edge, options.edge_factor);
  std::vector<char> marked(size_t(F.rows()), 0);
  for (size_t f = 0; f < marked.size(); ++f) {
    marked[f] = !std::isfinite(log_area[f]) || log_area[f] > area_limit || log_edge[f] > edge_limit;
  }
  Indices rows = unmarked(marked, Indices::LinSpaced(F.rows(), 0, F.rows() - 1));
  const Indices fans = unpinched_triangles(rows_of(F, rows), V.rows());
  for (Index i = 0; i < fans.size(); ++i) rows[i] = rows[fans[i]];
  rows.conservativeResize(fans.size());

  const Indices label = connected_components(rows_of(F, rows), V.rows());
  std::vector<Index> size;
  for (Index i = 0; i < label.size(); ++i) {
    if (label[i] == Index(size.size())) size.push_back(0);
    ++size[size_t(label[i])];
  }
  const double least =
      size.empty() ? 0.0 : options.min_component * double(*std::max_element(size.begin(), size.end()));
  marked.assign(size_t(rows.size()), 0);
  for (Index i = 0; i < label.size(); ++i) marked[size_t(i)] = double(size[size_t(label[i])]) < least;
  return submesh(V, F, unmarked(marked, rows));
}

}  // namespace facegeom
