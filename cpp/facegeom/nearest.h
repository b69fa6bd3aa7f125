#pragma once

#include <facegeom/box_tree.h>
#include <facegeom/types.h>

#include <vector>

namespace facegeom {

//! Nearest point of each query and how far it is.
struct Nearest {
  Indices index;    //!< (q,)
  Vector distance;  //!< (q,)
};

//! Exact nearest neighbours by a k-d tree over up to kMaxDimension coordinates.
//!
//! Distances are compared by their squares, summed over the coordinates in order; of several points at the
//! same distance the one of lowest index is found. A cell is left out only when its box is farther by the
//! same arithmetic, so the answer is that of a full search to the bit.
class PointTree {
 public:
  static constexpr Index kMaxDimension = 8;

  //! \param points (n, d), at least one point, 1 <= d <= kMaxDimension
  //! \throw std::invalid_argument otherwise
  explicit PointTree(RowsIn points);

  //! \param queries (q, d)
  //! \throw std::invalid_argument if queries have another dimension than the points
  Nearest nearest(RowsIn queries) const;

 private:
  template <int D>
  void build(RowsIn points);
  template <int D>
  void search(RowsIn queries, Nearest& out) const;

  Index dimension_;
  BoxTree tree_;
  std::vector<double> points_;        //!< in tree order
  std::vector<std::int32_t> places_;  //!< row in the input of each point, in tree order
};

}  // namespace facegeom
