#include <facegeom/closest_point.h>
#include <facegeom/interrupt.h>
#include <facegeom/static_dimension.h>

#include <algorithm>
#include <limits>

namespace facegeom {

namespace {

constexpr std::int32_t kLeafSize = 4;
//! Leaves are longer only where many triangles have the same centre.
constexpr std::int32_t kLongLeaf = 1024;

template <int D>
double dot(const double* a, const double* b) {
  double sum = 0;
  for (int k = 0; k < D; ++k) sum += a[k] * b[k];
  return sum;
}

//! Barycentric weights (v, w) of b and c of the point of a triangle that is closest to q: the projection to
//! the plane if it lies in the triangle, else the closest point of the three edges. The triangle is given as
//! a, b - a, c - a.
template <int D>
void closest_weights(const double* triangle, const double* q, double& v, double& w) {
  const double *a = triangle, *ab = triangle + D, *ac = triangle + 2 * D;
  double aq[D];
  for (int k = 0; k < D; ++k) aq[k] = q[k] - a[k];
  const double bb = dot<D>(ab, ab), bc = dot<D>(ab, ac), cc = dot<D>(ac, ac);
  const double bq = dot<D>(ab, aq), cq = dot<D>(ac, aq);
  const double area = bb * cc - bc * bc;
  const double inner_v = cc * bq - bc * cq, inner_w = bb * cq - bc * bq;
  if (area > 0 && inner_v >= 0 && inner_w >= 0 && inner_v + inner_w <= area) {
    v = inner_v / area;
    w = inner_w / area;
    return;
  }
  // Squared distances minus |q - a|^2.
  const double on_ab = bb > 0 ? std::clamp(bq / bb, 0.0, 1.0) : 0;
  const double on_ac = cc > 0 ? std::clamp(cq / cc, 0.0, 1.0) : 0;
  const double side = bb - 2 * bc + cc;
  const double on_bc = side > 0 ? std::clamp((cq - bq + bb - bc) / side, 0.0, 1.0) : 0;
  const auto gain = [&](double s, double t) {
    return s * s * bb + 2 * s * t * bc + t * t * cc - 2 * (s * bq + t * cq);
  };
  v = on_ab;
  w = 0;
  double best = gain(v, w);
  const double along_ac = gain(0, on_ac), along_bc = gain(1 - on_bc, on_bc);
  if (along_ac < best) {
    best = along_ac;
    v = 0;
    w = on_ac;
  }
  if (along_bc < best) {
    v = 1 - on_bc;
    w = on_bc;
  }
}

template <int D>
double squared_distance_at(const double* triangle, const double* q, double v, double w) {
  double sum = 0;
  for (int k = 0; k < D; ++k) {
    const double difference = triangle[k] + v * triangle[D + k] + w * triangle[2 * D + k] - q[k];
    sum += difference * difference;
  }
  return sum;
}

}  // namespace

TriangleTree::TriangleTree(RowsIn V, FacesIn F) : dimension_(V.cols()) {
  if (F.rows() < 1) throw std::invalid_argument("at least one triangle is required");
  if (F.rows() > std::numeric_limits<std::int32_t>::max()) throw std::invalid_argument("too many triangles");
  with_static_dimension(dimension_, [&](auto d) { build<decltype(d)::value>(V, F); });
}

template <int D>
void TriangleTree::build(RowsIn V, FacesIn F) {
  std::vector<BoxTree::Item<D>> items(static_cast<std::size_t>(F.rows()));
  for (std::size_t f = 0; f < items.size(); ++f) {
    items[f].row = static_cast<std::int32_t>(f);
    for (int k = 0; k < D; ++k) {
      items[f].centre[std::size_t(k)] = V(F(Index(f), 0), k) + V(F(Index(f), 1), k) + V(F(Index(f), 2), k);
    }
  }
  tree_.build<D>(items, kLeafSize, [&](std::int32_t row, double* low, double* high) {
    for (int corner = 0; corner < 3; ++corner) {
      for (int k = 0; k < D; ++k) {
        const double x = V(F(row, corner), k);
        low[k] = std::min(low[k], x);
        high[k] = std::max(high[k], x);
      }
    }
  });
  faces_.resize(items.size());
  places_.resize(items.size());
  corners_.resize(items.size() * 3 * D);
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::int32_t f = items[i].row;
    faces_[i] = f;
    places_[std::size_t(f)] = static_cast<std::int32_t>(i);
    double* corners = corners_.data() + i * 3 * D;
    for (int k = 0; k < D; ++k) {
      corners[k] = V(F(f, 0), k);
      corners[D + k] = V(F(f, 1), k) - corners[k];
      corners[2 * D + k] = V(F(f, 2), k) - corners[k];
    }
  }
}

template <int D>
SurfacePoint TriangleTree::search(const double* query, Index hint) const {
  std::int32_t found = places_[std::size_t(hint)];
  double v, w;
  closest_weights<D>(corners_.data() + Index(found) * 3 * D, query, v, w);
  double best = squared_distance_at<D>(corners_.data() + Index(found) * 3 * D, query, v, w);
  tree_.search<D>(query, best, [&](std::int32_t begin, std::int32_t end) {
    if (end - begin > kLongLeaf) poll_interrupt();
    for (std::int32_t i = begin; i < end; ++i) {
      const double* triangle = corners_.data() + Index(i) * 3 * D;
      double next_v, next_w;
      closest_weights<D>(triangle, query, next_v, next_w);
      const double d = squared_distance_at<D>(triangle, query, next_v, next_w);
      if (d < best || (d == best && faces_[std::size_t(i)] < faces_[std::size_t(found)])) {
        best = d;
        found = i;
        v = next_v;
        w = next_w;
      }
    }
  });
  return {faces_[std::size_t(found)], {std::max(0.0, 1 - v - w), v, w}, best};
}

SurfacePoint TriangleTree::closest(const double* query, Index hint) const {
  return with_static_dimension(dimension_, [&](auto d) { return search<decltype(d)::value>(query, hint); });
}

}  // namespace facegeom
