#pragma once

#include <facegeom/box_tree.h>
#include <facegeom/types.h>

#include <vector>

namespace facegeom {

//! The point of a surface that is nearest to a query.
struct SurfacePoint {
  Index face;               //!< triangle that contains the point
  double weight[3];         //!< barycentric coordinates in the triangle: at least 0, sum 1
  double squared_distance;  //!< squared distance to the query
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

  //! Find the closest point to one query. Of several triangles at the same distance, the triangle with the
  //! lowest index is found; the hint does not change the result.
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
  std::vector<std::int32_t> places_;  //!< position in tree order of each row of F
};

}  // namespace facegeom
