#include <facegeom/interrupt.h>
#include <facegeom/nearest.h>
#include <facegeom/static_dimension.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace facegeom {

namespace {

constexpr std::int32_t kLeafSize = 32;

template <int D>
double squared_distance(const double* a, const double* b) {
  double sum = 0;
  for (int k = 0; k < D; ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
  return sum;
}

}  // namespace

PointTree::PointTree(RowsIn points) : dimension_(points.cols()) {
  if (points.rows() < 1) throw std::invalid_argument("at least one point is required");
  if (points.rows() > std::numeric_limits<std::int32_t>::max())
    throw std::invalid_argument("too many points");
  with_static_dimension(dimension_, [&](auto d) { build<decltype(d)::value>(points); });
}

template <int D>
void PointTree::build(RowsIn points) {
  std::vector<BoxTree::Item<D>> items(static_cast<std::size_t>(points.rows()));
  for (std::size_t i = 0; i < items.size(); ++i) {
    std::copy_n(points.data() + i * D, D, items[i].centre.begin());
    items[i].row = static_cast<std::int32_t>(i);
  }
  tree_.build<D>(items, kLeafSize, [&](std::int32_t row, double* low, double* high) {
    const double* point = points.data() + Index(row) * D;
    for (int k = 0; k < D; ++k) {
      low[k] = std::min(low[k], point[k]);
      high[k] = std::max(high[k], point[k]);
    }
  });
  points_.resize(items.size() * D);
  places_.resize(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    std::copy_n(items[i].centre.begin(), D, points_.data() + i * D);
    places_[i] = items[i].row;
  }
}

template <int D>
void PointTree::search(RowsIn queries, Nearest& out) const {
  std::int32_t found = 0;
  WorkCounter work;
  for (Index row = 0; row < queries.rows(); ++row) {
    const double* q = queries.data() + row * D;
    // Consecutive queries are often close to each other: start from the result of the last one.
    double best = squared_distance<D>(q, points_.data() + Index(found) * D);
    tree_.search<D>(q, best, [&](std::int32_t begin, std::int32_t end) {
      work.add(kLeafSize + end - begin);  // a leaf is long where many points coincide
      for (std::int32_t i = begin; i < end; ++i) {
        const double d = squared_distance<D>(q, points_.data() + Index(i) * D);
        if (d < best || (d == best && places_[std::size_t(i)] < places_[std::size_t(found)])) {
          best = d;
          found = i;
        }
      }
    });
    out.index[row] = places_[std::size_t(found)];
    out.distance[row] = std::sqrt(best);
  }
}

Nearest PointTree::nearest(RowsIn queries) const {
  if (queries.cols() != dimension_)
    throw std::invalid_argument("queries and points must have the same dimension");
  Nearest out{Indices(queries.rows()), Vector(queries.rows())};
  with_static_dimension(dimension_, [&](auto d) { search<decltype(d)::value>(queries, out); });
  return out;
}

}  // namespace facegeom
