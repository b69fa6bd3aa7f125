#pragma once

#include <facegeom/types.h>

#include <functional>
#include <vector>

namespace facegeom {

using Point2 = Eigen::RowVector2d;
using Loop = std::vector<Point2>;

//! Closed contours of a binary image, half-way between the centres of inside and outside pixels (marching
//! squares). The inside is on the left on the screen. Contours do not touch: inside pixels that share only a
//! corner are separate.
//! \param width image width in pixels
//! \param height image height in pixels
//! \param inside called as inside(x, y) for 0 <= x < width, 0 <= y < height; all other pixels are outside
//! \return points x, y in pixels, y down
std::vector<Loop> contours(Index width, Index height, const std::function<bool(Index, Index)>& inside);

//! Smooth the pixel steps of a contour by Taubin lambda/mu smoothing. \cite taubin1995signal
//! \param loop contour; returned unchanged if it has fewer than 12 points
//! \param limit maximum change of each coordinate, pixels
//! \return the smoothed contour
Loop smoothed(const Loop& loop, double limit);

//! The area that a contour encloses, in square pixels; negative for the contour of a hole.
double signed_area(const Loop& loop);
//! The length of a closed contour, in pixels.
double perimeter(const Loop& loop);

//! Sample a contour at equal distances along it.
//! \param loop contour
//! \param spacing desired distance of neighbouring points, in pixels
//! \return at least three points
Loop resampled(const Loop& loop, double spacing);

//! Point-in-polygon test by the even-odd rule for a set of contours, accelerated by horizontal strips.
class Region {
 public:
  //! \param loops contours
  //! \param strip_height about the spacing of the points, for speed
  Region(const std::vector<Loop>& loops, double strip_height);
  //! Whether a point is inside.
  bool contains(double x, double y) const;
  //! Intersections of the contours with a horizontal line: the inside lies between the first and the second,
  //! the third and the fourth, and so on.
  //! \param y y coordinate of the line
  //! \param out replaced by the x coordinates, ascending
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
