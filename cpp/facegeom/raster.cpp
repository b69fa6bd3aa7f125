#include <facegeom/checks.h>
#include <facegeom/interrupt.h>
#include <facegeom/predicates.h>
#include <facegeom/raster.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace facegeom {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kHidden = -std::numeric_limits<double>::infinity();

Index round_up(double value) {
  const Index truncated = Index(value);
  return truncated + (double(truncated) < value);
}

Index round_down(double value) {
  const Index truncated = Index(value);
  return truncated - (double(truncated) > value);
}

//! The edge function of one side of a triangle: twice the area of (from, to, pixel), positive inside. The
//! intersection with a row of pixels is computed in floating-point arithmetic; if a pixel centre lies within
//! its rounding error, the exact predicate decides, so that triangles with a common edge agree.
class Edge {
 public:
  //! \param from, to the end points, which must outlive the edge
  //! \param turn 1 for a counter-clockwise triangle, else -1
  //! \param width, height of the bounding box of the triangle: bounds of the distances from a corner to a
  //! pixel
  Edge(const double* from, const double* to, double turn, double width, double height)
      : from_(from), to_(to), dx_(turn * (to[0] - from[0])), dy_(turn * (to[1] - from[1])), turn_(turn) {
    owns_border_ = dy_ < 0 || (dy_ == 0 && dx_ > 0);
    inverse_ = dy_ == 0 ? 0.0 : 1 / dy_;
    const double error = 8 * detail::kHalfUlp * (std::abs(dx_) * height + std::abs(dy_) * width);
    slack_ = std::abs(inverse_) * error + 8 * detail::kHalfUlp * (std::abs(from[0]) + width);
  }
  double row(double y) const { return dx_ * (y - from_[1]); }
  double at(double row, double x) const { return row - dy_ * (x - from_[0]); }

  //! Clip the span of pixels low to high of row y to the inside.
  void clip(Index y, double row, Index& low, Index& high, WorkCounter& work) const {
    if (dy_ == 0) {
      if (row < 0 || (row == 0 && !owns_border_)) high = low - 1;
      return;
    }
    if (!(slack_ < 1)) {  // almost horizontal: the intersection is inaccurate
      for (; low <= high && !inside(low, y); ++low) work.add(kUnitsPerTest);
      for (; low <= high && !inside(high, y); --high) work.add(kUnitsPerTest);
      return;
    }
    const double crossing = from_[0] + row * inverse_;
    if (dy_ < 0) {  // inside is to the right
      if (crossing + slack_ < double(low)) return;
      if (crossing - slack_ > double(high)) {
        high = low - 1;
        return;
      }
      low = std::max(low, round_up(crossing - slack_));
      while (double(low) < crossing + slack_ && low <= high && !inside(low, y)) ++low;
    } else {
      if (crossing - slack_ > double(high)) return;
      if (crossing + slack_ < double(low)) {
        high = low - 1;
        return;
      }
      high = std::min(high, round_down(crossing + slack_));
      while (double(high) > crossing - slack_ && low <= high && !inside(high, y)) --high;
    }
  }

 private:
  static constexpr Index kUnitsPerTest = 100;

  bool inside(Index x, Index y) const {
    const double pixel[2] = {double(x), double(y)};
    const double sign = turn_ * orient2d(from_, to_, pixel);
    return sign > 0 || (sign == 0 && owns_border_);
  }

  const double *from_, *to_;
  double dx_, dy_, turn_, inverse_, slack_;
  bool owns_border_;
};

//! Barycentric coordinates of a pixel in its visible triangle; the third is 1 - a - b.
struct Weights {
  double a, b;
};

template <typename Matrix>
const double* row(const Matrix& matrix, Index i) {
  return matrix.data() + i * matrix.outerStride();
}

}  // namespace

Raster rasterize(PointsIn V, FacesIn F, RowsIn attributes, Index height, Index width) {
  if (height < 1 || width < 1) throw std::invalid_argument("the raster must have at least one pixel");
  if (attributes.rows() != V.rows()) {
    throw std::invalid_argument("attributes must have one row per vertex");
  }
  const Index k = attributes.cols();
  if (width > kMaxPixels / height) throw std::invalid_argument("the raster may have at most 2^28 pixels");
  const Index pixels = height * width;
  if (k > kMaxRasterValues / pixels) {
    throw std::invalid_argument("the raster may have at most 2^30 attribute values");
  }
  Raster out{Rows(pixels, k), Vector::Constant(pixels, kHidden), Indices::Constant(pixels, -1)};
  std::vector<Weights> weights(size_t(k > 0 ? pixels : 0));
  double* nearest = out.depth.data();
  WorkCounter work;
  const double last_x = double(width - 1), last_y = double(height - 1);

  for (Index f = 0; f < F.rows(); ++f) {
    const double *a = row(V, F(f, 0)), *b = row(V, F(f, 1)), *c = row(V, F(f, 2));
    const double left = std::min(std::min(a[0], b[0]), c[0]), right = std::max(std::max(a[0], b[0]), c[0]);
    const double top = std::min(std::min(a[1], b[1]), c[1]), bottom = std::max(std::max(a[1], b[1]), c[1]);
    if (left > last_x || right < 0 || top > last_y || bottom < 0) continue;
    const Index low_x = round_up(std::max(left, 0.0)), high_x = Index(std::min(right, last_x));
    const Index low_y = round_up(std::max(top, 0.0)), high_y = Index(std::min(bottom, last_y));
    if (low_x > high_x || low_y > high_y) continue;
    const double area = orient2d(a, b, c);
    if (area == 0) continue;
    const double turn = area > 0 ? 1 : -1;
    const Edge bc(b, c, turn, right - left, bottom - top);
    const Edge ca(c, a, turn, right - left, bottom - top);
    const Edge ab(a, b, turn, right - left, bottom - top);
    for (Index y = low_y; y <= high_y; ++y) {
      const double row_a = bc.row(double(y)), row_b = ca.row(double(y)), row_c = ab.row(double(y));
      Index first = low_x, last = high_x;
      bc.clip(y, row_a, first, last, work);
      ca.clip(y, row_b, first, last, work);
      ab.clip(y, row_c, first, last, work);
      work.add(8 + std::max<Index>(0, last - first));
      for (Index x = first; x <= last; ++x) {
        const double wa = std::max(bc.at(row_a, double(x)), 0.0);
        const double wb = std::max(ca.at(row_b, double(x)), 0.0);
        const double wc = std::max(ab.at(row_c, double(x)), 0.0);
        const double share = 1 / (wa + wb + wc);
        const double z = (wa * a[2] + wb * b[2] + wc * c[2]) * share;
        const Index p = y * width + x;
        if (!(z > nearest[p])) continue;
        nearest[p] = z;
        out.triangle[p] = f;
        if (k > 0) weights[size_t(p)] = {wa * share, wb * share};
      }
    }
  }

  for (Index p = 0; p < pixels; ++p) {
    work.add(1 + k);
    const Index f = out.triangle[p];
    double* to = out.attributes.data() + p * k;
    if (f < 0) {
      out.depth[p] = kNaN;
      std::fill(to, to + k, kNaN);
      continue;
    }
    if (k == 0) continue;
    const Weights& w = weights[size_t(p)];
    const double *a = row(attributes, F(f, 0)), *b = row(attributes, F(f, 1)), *c = row(attributes, F(f, 2));
    for (Index i = 0; i < k; ++i) to[i] = w.a * a[i] + w.b * b[i] + (1 - w.a - w.b) * c[i];
  }
  return out;
}

}  // namespace facegeom
