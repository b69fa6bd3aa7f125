#pragma once

#include <facegeom/box_tree.h>
#include <facegeom/types.h>

#include <vector>

namespace facegeom {

//! Nearest point of a surface to one query.
struct SurfacePoint {
  Index face;               //!< triangle that contains the point
  double weight[3];         //!< barycentric: at least 0, sum 1
  double squared_distance;  //!< to the query
};

//! Exact closest points on triangles with up to kMaxDimension coordinates, by a hierarchy of boxes.
//!
//! The triangles may lie in space or in an embedding of higher dimension. A triangle without area is a
//! segment or a point.
class TriangleTree {
 public:
  static constexpr Index kMaxDimension = 8;

  //! \param V (n, d), 1 <= d <= kMaxDimension
  //! \param F (m, 3) triangles, indices below n, at least one
  //! \throw std::invalid_argument otherwise
  TriangleTree(RowsIn V, FacesIn F);

  //! The closest point to one query. Of several triangles at the same distance the one of the lowest index is
  //! found, whatever the hint.
  //! \param query d coordinates
  //! \param hint triangle that is probably near, such as the result of a neighbouring query
  //! \return the point
  SurfacePoint closest(const double* query, Index hint = 0) const;

  Index dimension() const { return dimension_; }

 private:
  template <int D>
  void build(RowsIn V, FacesIn F);
  template <int D>
  SurfacePoint search(const double* query, Index hint) const;

  Index dimension_;
  BoxTree tree_;
  std::vector<double> corners_;       //!< a, b - a, c - a of each triangle, in tree order
  std::vector<std::int32_t> faces_;   //!< row in F of each triangle, in tree order
  std::vector<std::int32_t> places_;  //!< the inverse of faces_
};

}  // namespace facegeom
