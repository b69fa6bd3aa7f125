#include <facegeom/dimensions.h>
#include <facegeom/nearest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

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
  if (points.rows() < 1) throw std::invalid_argument("a tree needs at least one point");
  if (points.rows() > std::numeric_limits<std::int32_t>::max())
    throw std::invalid_argument("too many points");
  points_.assign(points.data(), points.data() + points.size());
  places_.resize(static_cast<std::size_t>(points.rows()));
  std::iota(places_.begin(), places_.end(), 0);
  with_dimension(dimension_, [this](auto d) { build<decltype(d)::value>(); });
}

template <int D>
void PointTree::build() {
  struct Item {
    std::array<double, D> x;
    std::int32_t place;
  };
  const auto n = static_cast<std::int32_t>(places_.size());
  std::vector<Item> items(places_.size());
  for (std::int32_t i = 0; i < n; ++i) {
    Item& item = items[std::size_t(i)];
    std::copy_n(points_.data() + Index(i) * D, D, item.x.begin());
    item.place = i;
  }
  struct Task {
    std::int32_t begin, end, parent;
  };
  std::vector<Task> tasks{{0, n, -1}};
  while (!tasks.empty()) {
    const Task task = tasks.back();
    tasks.pop_back();
    const auto id = static_cast<std::int32_t>(nodes_.size());
    if (task.parent >= 0) nodes_[std::size_t(task.parent)].right = id;
    nodes_.push_back({task.begin, task.end, 0});
    std::array<double, D> low = items[std::size_t(task.begin)].x, high = low;
    for (std::int32_t i = task.begin + 1; i < task.end; ++i) {
      for (std::size_t k = 0; k < D; ++k) {
        low[k] = std::min(low[k], items[std::size_t(i)].x[k]);
        high[k] = std::max(high[k], items[std::size_t(i)].x[k]);
      }
    }
    boxes_.insert(boxes_.end(), low.begin(), low.end());
    boxes_.insert(boxes_.end(), high.begin(), high.end());
    std::size_t widest = 0;
    for (std::size_t k = 1; k < D; ++k) {
      if (high[k] - low[k] > high[widest] - low[widest]) widest = k;
    }
    if (task.end - task.begin <= kLeafSize || !(high[widest] > low[widest])) continue;
    const std::int32_t middle = task.begin + (task.end - task.begin) / 2;
    std::nth_element(items.begin() + task.begin, items.begin() + middle, items.begin() + task.end,
                     [widest](const Item& a, const Item& b) { return a.x[widest] < b.x[widest]; });
    tasks.push_back({middle, task.end, id});
    tasks.push_back({task.begin, middle, -1});
  }
  for (std::int32_t i = 0; i < n; ++i) {
    const Item& item = items[std::size_t(i)];
    std::copy_n(item.x.begin(), D, points_.data() + Index(i) * D);
    places_[std::size_t(i)] = item.place;
  }
}

template <int D>
void PointTree::search(RowsIn queries, Nearest& out) const {
  struct Visit {
    std::int32_t node;
    double bound;
  };
  std::array<Visit, 64> stack;
  std::int32_t last = 0;
  for (Index row = 0; row < queries.rows(); ++row) {
    const double* q = queries.data() + row * D;
    // Queries often come in spatial order: the answer to the last one is a good first guess.
    double best = squared_distance<D>(q, points_.data() + Index(last) * D);
    std::int32_t found = last;
    std::size_t depth = 0;
    stack[depth++] = {0, squared_distance_to_box<D>(q, boxes_.data())};
    while (depth > 0) {
      Visit visit = stack[--depth];
      if (visit.bound > best) continue;
      const Node* node = &nodes_[std::size_t(visit.node)];
      while (node->right != 0) {
        const std::int32_t left = visit.node + 1, right = node->right;
        const double to_left = squared_distance_to_box<D>(q, boxes_.data() + Index(left) * 2 * D);
        const double to_right = squared_distance_to_box<D>(q, boxes_.data() + Index(right) * 2 * D);
        const bool left_first = to_left <= to_right;
        const Visit far = left_first ? Visit{right, to_right} : Visit{left, to_left};
        if (far.bound <= best) stack[depth++] = far;
        visit = left_first ? Visit{left, to_left} : Visit{right, to_right};
        node = &nodes_[std::size_t(visit.node)];
      }
      if (visit.bound > best) continue;
      for (std::int32_t i = node->begin; i < node->end; ++i) {
        const double d = squared_distance<D>(q, points_.data() + Index(i) * D);
        if (d < best || (d == best && places_[std::size_t(i)] < places_[std::size_t(found)])) {
          best = d;
          found = i;
        }
      }
    }
    last = found;
    out.index[row] = places_[std::size_t(found)];
    out.distance[row] = std::sqrt(best);
  }
}

Nearest PointTree::nearest(RowsIn queries) const {
  if (queries.cols() != dimension_)
    throw std::invalid_argument("queries must have the dimension of the points");
  Nearest out{Indices(queries.rows()), Vector(queries.rows())};
  with_dimension(dimension_, [&](auto d) { search<decltype(d)::value>(queries, out); });
  return out;
}

}  // namespace facegeom
