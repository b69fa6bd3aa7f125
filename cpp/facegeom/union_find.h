#pragma once

#include <facegeom/types.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace facegeom {

//! Disjoint sets of 0 .. n-1; each set is represented by its smallest element.
class UnionFind {
 public:
  explicit UnionFind(Index n) : parent_(static_cast<std::size_t>(n)) {
    std::iota(parent_.begin(), parent_.end(), Index(0));
  }

  //! Smallest element of the set that contains i.
  Index find(Index i) {
    while (parent(i) != i) {
      parent(i) = parent(parent(i));
      i = parent(i);
    }
    return i;
  }

  //! Unite the sets of i and j.
  void join(Index i, Index j) {
    i = find(i);
    j = find(j);
    parent(std::max(i, j)) = std::min(i, j);
  }

 private:
  Index& parent(Index i) { return parent_[static_cast<std::size_t>(i)]; }

  std::vector<Index> parent_;
};

}  // namespace facegeom
