#pragma once

#include <facegeom/types.h>

#include <functional>
#include <vector>

namespace facegeom {

using Point2 = Eigen::RowVector2d;
using Loop = std::vector<Point2>;

//! Closed contours of a binary image half-way between inside and outside pixel centres, x and y in pixels, y
//! down. They run with the inside on the left on the screen and never touch: inside pixels that meet at a
//! corner only are separate.
//! \param inside (x, y) -> bool for 0 <= x < width, 0 <= y < height; everything else is outside
std::vector<Loop> contours(Index width, Index height, const std::function<bool(Index, Index)>& inside);

//! The loop with its steps smoothed away, no vertex moved by more than `limit` in x or y; short loops stay.
Loop smoothed(const Loop& loop, double limit);

//! The area that the loop encloses, negative for holes.
double signed_area(const Loop& loop);
double perimeter(const Loop& loop);

//! The loop at evenly spaced places about `spacing` apart, three at least.
Loop resampled(const Loop& loop, double spacing);

//! Point-in-polygon test by the even-odd rule for a set of loops, sorted into strips of equal height.
class Region {
 public:
  Region(const std::vector<Loop>& loops, double strip_height);
  bool contains(double x, double y) const;
  //! Where the border crosses the horizontal line at y, ascending: inside lies between the first and the
  //! second, ...
  void crossings(double y, std::vector<double>& out) const;

 private:
  struct Segment {
    double x0, y0, x1, y1;
    bool spans(double y) const { return (y0 <= y) != (y1 <= y); }
    double at(double y) const { return x0 + (y - y0) / (y1 - y0) * (x1 - x0); }
  };
  std::ptrdiff_t strip(double y) const;

  double low_ = 0, height_;
  std::vector<std::vector<Segment>> strips_;
};

}  // namespace facegeom
