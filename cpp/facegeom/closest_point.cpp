#include <facegeom/closest_point.h>
#include <facegeom/dimensions.h>

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

namespace facegeom {

namespace {

constexpr std::int32_t kLeafSize = 4;

template <int D>
double dot(const double* a, const double* b) {
  double sum = 0;
  for (int k = 0; k < D; ++k) sum += a[k] * b[k];
  return sum;
}

//! Weights (v, w) of b and c in the point of the triangle a, a + ab, a + ac that is closest to q: that of the
//! plane if it lies within the triangle, else the best of the three edges.
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
  // Squared distances less |q - a|^2.
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
  if (F.rows() < 1) throw std::invalid_argument("a tree needs at least one triangle");
  if (F.rows() > std::numeric_limits<std::int32_t>::max()) throw std::invalid_argument("too many triangles");
  faces_.resize(static_cast<std::size_t>(F.rows()));
  std::iota(faces_.begin(), faces_.end(), 0);
  with_dimension(dimension_, [&](auto d) { build<decltype(d)::value>(V, F); });
}

template <int D>
void TriangleTree::build(RowsIn V, FacesIn F) {
  struct Item {
    std::array<double, D> middle;
    std::int32_t face;
  };
  const auto m = static_cast<std::int32_t>(faces_.size());
  std::vector<Item> items(faces_.size());
  for (std::int32_t f = 0; f < m; ++f) {
    Item& item = items[std::size_t(f)];
    item.face = f;
    for (int k = 0; k < D; ++k) {
      item.middle[std::size_t(k)] = V(F(f, 0), k) + V(F(f, 1), k) + V(F(f, 2), k);
    }
  }
  struct Task {
    std::int32_t begin, end, parent;
  };
  std::vector<Task> tasks{{0, m, -1}};
  while (!tasks.empty()) {
    const Task task = tasks.back();
    tasks.pop_back();
    const auto id = static_cast<std::int32_t>(nodes_.size());
    if (task.parent >= 0) nodes_[std::size_t(task.parent)].right = id;
    nodes_.push_back({task.begin, task.end, 0});
    if (task.end - task.begin <= kLeafSize) continue;
    std::array<double, D> low = items[std::size_t(task.begin)].middle, high = low;
    for (std::int32_t i = task.begin + 1; i < task.end; ++i) {
      for (std::size_t k = 0; k < D; ++k) {
        low[k] = std::min(low[k], items[std::size_t(i)].middle[k]);
        high[k] = std::max(high[k], items[std::size_t(i)].middle[k]);
      }
    }
    std::size_t widest = 0;
    for (std::size_t k = 1; k < D; ++k) {
      if (high[k] - low[k] > high[widest] - low[widest]) widest = k;
    }
    const std::int32_t middle = task.begin + (task.end - task.begin) / 2;
    std::nth_element(items.begin() + task.begin, items.begin() + middle, items.begin() + task.end,
                     [widest](const Item& a, const Item& b) {
                       return a.middle[widest] != b.middle[widest] ? a.middle[widest] < b.middle[widest]
                                                                   : a.face < b.face;
                     });
    tasks.push_back({middle, task.end, id});
    tasks.push_back({task.begin, middle, -1});
  }

  places_.resize(faces_.size());
  corners_.resize(faces_.size() * 3 * D);
  for (std::int32_t i = 0; i < m; ++i) {
    const std::int32_t f = items[std::size_t(i)].face;
    faces_[std::size_t(i)] = f;
    places_[std::size_t(f)] = i;
    double* corners = corners_.data() + Index(i) * 3 * D;
    for (int k = 0; k < D; ++k) {
      corners[k] = V(F(f, 0), k);
      corners[D + k] = V(F(f, 1), k) - corners[k];
      corners[2 * D + k] = V(F(f, 2), k) - corners[k];
    }
  }
  // Children come after their parent: boxes are joined from the back.
  boxes_.resize(nodes_.size() * 2 * D);
  for (std::size_t id = nodes_.size(); id-- > 0;) {
    double* box = boxes_.data() + id * 2 * D;
    const Node& node = nodes_[id];
    for (int k = 0; k < D; ++k) {
      double low = std::numeric_limits<double>::infinity(), high = -low;
      if (node.right != 0) {
        const double* first = box + 2 * D;
        const double* second = boxes_.data() + std::size_t(node.right) * 2 * D;
        low = std::min(first[k], second[k]);
        high = std::max(first[D + k], second[D + k]);
      } else {
        for (std::int32_t i = node.begin; i < node.end; ++i) {
          for (int corner = 0; corner < 3; ++corner) {
            const double x = V(F(faces_[std::size_t(i)], corner), k);
            low = std::min(low, x);
            high = std::max(high, x);
          }
        }
      }
      box[k] = low;
      box[D + k] = high;
    }
  }
}

template <int D>
SurfacePoint TriangleTree::search(const double* query, Index hint) const {
  struct Visit {
    std::int32_t node;
    double bound;
  };
  std::int32_t found = places_[std::size_t(hint)];
  double v, w;
  closest_weights<D>(corners_.data() + Index(found) * 3 * D, query, v, w);
  double best = squared_distance_at<D>(corners_.data() + Index(found) * 3 * D, query, v, w);
  std::array<Visit, 64> stack;
  std::size_t depth = 0;
  stack[depth++] = {0, squared_distance_to_box<D>(query, boxes_.data())};
  while (depth > 0) {
    Visit visit = stack[--depth];
    if (visit.bound > best) continue;
    const Node* node = &nodes_[std::size_t(visit.node)];
    while (node->right != 0) {
      const std::int32_t left = visit.node + 1, right = node->right;
      const double to_left = squared_distance_to_box<D>(query, boxes_.data() + Index(left) * 2 * D);
      const double to_right = squared_distance_to_box<D>(query, boxes_.data() + Index(right) * 2 * D);
      const bool left_first = to_left <= to_right;
      const Visit far = left_first ? Visit{right, to_right} : Visit{left, to_left};
      if (far.bound <= best) stack[depth++] = far;
      visit = left_first ? Visit{left, to_left} : Visit{right, to_right};
      node = &nodes_[std::size_t(visit.node)];
    }
    if (visit.bound > best) continue;
    for (std::int32_t i = node->begin; i < node->end; ++i) {
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
  }
  return {faces_[std::size_t(found)], {std::max(0.0, 1 - v - w), v, w}, best};
}

SurfacePoint TriangleTree::closest(const double* query, Index hint) const {
  return with_dimension(dimension_, [&](auto d) { return search<decltype(d)::value>(query, hint); });
}

}  // namespace facegeom
