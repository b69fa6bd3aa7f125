#pragma once

#include <facegeom/interrupt.h>
#include <facegeom/types.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace facegeom {

//! Squared distance of a point to a box: a lower bound, in floating-point arithmetic too, of the squared
//! distance to any point of the box, since each difference is not greater and the order of the sum is the
//! same.
//! \param q point
//! \param box lower corner, then upper corner
template <int D>
double squared_distance_to_box(const double* q, const double* box) {
  double sum = 0;
  for (int k = 0; k < D; ++k) {
    const double outside = std::max({box[k] - q[k], q[k] - box[D + k], 0.0});
    sum += outside * outside;
  }
  return sum;
}

//! A k-d tree of bounding boxes around points or triangles; used by the searches of PointTree
//! and TriangleTree.
//! \cite bentley1975multidimensional
class BoxTree {
 public:
  //! The centre of an item, up to scale, and its row in the input.
  template <int D>
  struct Item {
    std::array<double, D> centre;
    std::int32_t row;
  };

  //! Split the items at the median of their longest axis until a leaf has at most `leaf_size` items.
  //! \param items reordered to tree order
  //! \param leaf_size at least 1
  //! \param extend called as extend(row, low, high): enlarges a box so that it contains the item
  template <int D, class Extend>
  void build(std::vector<Item<D>>& items, std::int32_t leaf_size, const Extend& extend) {
    struct Task {
      std::int32_t begin, end, parent;
    };
    WorkCounter work;
    nodes_.clear();
    std::vector<Task> tasks{{0, static_cast<std::int32_t>(items.size()), -1}};
    while (!tasks.empty()) {
      const Task task = tasks.back();
      tasks.pop_back();
      work.add(8 * (task.end - task.begin));
      const auto id = static_cast<std::int32_t>(nodes_.size());
      if (task.parent >= 0) nodes_[std::size_t(task.parent)].right = id;
      nodes_.push_back({task.begin, task.end, 0});
      if (task.end - task.begin <= leaf_size) continue;
      std::array<double, D> low = items[std::size_t(task.begin)].centre, high = low;
      for (std::int32_t i = task.begin + 1; i < task.end; ++i) {
        for (std::size_t k = 0; k < D; ++k) {
          low[k] = std::min(low[k], items[std::size_t(i)].centre[k]);
          high[k] = std::max(high[k], items[std::size_t(i)].centre[k]);
        }
      }
      std::size_t widest = 0;
      for (std::size_t k = 1; k < D; ++k) {
        if (high[k] - low[k] > high[widest] - low[widest]) widest = k;
      }
      if (!(high[widest] > low[widest])) continue;  // all at one point
      const std::int32_t middle = task.begin + (task.end - task.begin) / 2;
      std::nth_element(items.begin() + task.begin, items.begin() + middle, items.begin() + task.end,
                       [widest](const Item<D>& a, const Item<D>& b) {
                         return a.centre[widest] != b.centre[widest] ? a.centre[widest] < b.centre[widest]
                                                                     : a.row < b.row;
                       });
      tasks.push_back({middle, task.end, id});
      tasks.push_back({task.begin, middle, -1});
    }
    // Children follow their parents: boxes are merged from the last node to the first.
    boxes_.resize(nodes_.size() * 2 * D);
    for (std::size_t id = nodes_.size(); id-- > 0;) {
      double* box = boxes_.data() + id * 2 * D;
      std::fill_n(box, D, std::numeric_limits<double>::infinity());
      std::fill_n(box + D, D, -std::numeric_limits<double>::infinity());
      const Node& node = nodes_[id];
      if (node.right != 0) {
        for (const std::size_t child : {id + 1, std::size_t(node.right)}) {
          const double* other = boxes_.data() + child * 2 * D;
          for (int k = 0; k < D; ++k) box[k] = std::min(box[k], other[k]);
          for (int k = D; k < 2 * D; ++k) box[k] = std::max(box[k], other[k]);
        }
      } else {
        for (std::int32_t i = node.begin; i < node.end; ++i) extend(items[std::size_t(i)].row, box, box + D);
      }
    }
  }

  //! Visit the leaves near a query, nearer ones first. A cell is skipped if squared_distance_to_box of its
  //! box is larger than `best`.
  //! \param query D coordinates
  //! \param best squared distance of the best item so far; read again after each leaf
  //! \param leaf called as leaf(begin, end) with a range in tree order; may lower `best`
  template <int D, class Leaf>
  void search(const double* query, const double& best, const Leaf& leaf) const {
    struct Visit {
      std::int32_t node;
      double bound;
    };
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
      if (visit.bound <= best) leaf(node->begin, node->end);
    }
  }

 private:
  struct Node {
    std::int32_t begin, end;  //!< items of the cell, in tree order
    std::int32_t right;       //!< index of the second child, 0 for a leaf; the first child is the next node
  };

  std::vector<Node> nodes_;
  std::vector<double> boxes_;  //!< lower then upper corner of each node
};

}  // namespace facegeom
