#pragma once

#include <facegeom/box_tree.h>
#include <facegeom/types.h>

#include <vector>

namespace facegeom {

//! Nearest point of each query.
struct Nearest {
  Indices index;    //!< (q,) row of the nearest point
  Vector distance;  //!< (q,) distance to the nearest point
};

//! Exact nearest neighbours in up to kMaxDimension coordinates, by a k-d tree.
//! \cite bentley1975multidimensional
//!
//! Squared distances, summed over the coordinates in order, are compared; of several points at the same
//! distance, the point with the lowest index is found. A cell is skipped only if the distance of its box,
//! computed in the same way, is larger: the result is bit-identical to the result of a full search.
class PointTree {
 public:
  static constexpr Index kMaxDimension = 8;

  //! \param points (n, d), at least one point, 1 <= d <= kMaxDimension
  //! \throw std::invalid_argument otherwise
  explicit PointTree(RowsIn points);

  //! Nearest point of each query.
  //! \param queries (q, d)
  //! \return index and distance (q,)
  //! \throw std::invalid_argument if the queries and the points differ in dimension
  Nearest nearest(RowsIn queries) const;

 private:
  template <int D>
  void build(RowsIn points);
  template <int D>
  void search(RowsIn queries, Nearest& out) const;

  Index dimension_;
  BoxTree tree_;
  std::vector<double> points_;        //!< coordinates of the points, in tree order
  std::vector<std::int32_t> places_;  //!< row in the input of each point, in tree order
};

}  // namespace facegeom
