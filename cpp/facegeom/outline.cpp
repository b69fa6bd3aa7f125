#include <facegeom/interrupt.h>
#include <facegeom/outline.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace facegeom {

namespace {

//! Sides of the square between four pixel centres.
enum Side { kTop, kRight, kBottom, kLeft };

//! Numbers of the sides of all squares; neighbouring squares share a side.
struct Grid {
  Index width, height;  // (width + 1) x (height + 1) squares; the top-left pixel of the first is (-1, -1)

  Index horizontal_sides() const { return (width + 1) * (height + 2); }
  Index all_sides() const { return horizontal_sides() + (width + 2) * (height + 1); }
  Index side(Index x, Index y, Side which) const {
    switch (which) {
      case kTop:
        return (y + 1) * (width + 1) + x + 1;
      case kBottom:
        return (y + 2) * (width + 1) + x + 1;
      case kLeft:
        return horizontal_sides() + (y + 1) * (width + 2) + x + 1;
      default:
        return horizontal_sides() + (y + 1) * (width + 2) + x + 2;
    }
  }
  Point2 middle(Index side) const {
    if (side < horizontal_sides()) {
      const Index row = side / (width + 1), column = side % (width + 1);
      return {double(column) - 0.5, double(row - 1)};
    }
    side -= horizontal_sides();
    const Index row = side / (width + 2), column = side % (width + 2);
    return {double(column - 1), double(row) - 0.5};
  }
};

}  // namespace

std::vector<Loop> contours(Index width, Index height, const std::function<bool(Index, Index)>& inside) {
  const Grid grid{width, height};
  std::vector<Index> next(size_t(grid.all_sides()), -1);
  std::vector<char> above(size_t(width + 2), 0), below(size_t(width + 2), 0);
  for (Index y = -1; y < height; ++y) {
    poll_interrupt();
    for (Index x = 0; x < width; ++x) below[size_t(x + 1)] = y + 1 < height && inside(x, y + 1);
    for (Index x = -1; x < width; ++x) {
      const auto step = [&](Side from, Side to) {
        next[size_t(grid.side(x, y, from))] = grid.side(x, y, to);
      };
      const int corners = above[size_t(x + 1)] + 2 * above[size_t(x + 2)] + 4 * below[size_t(x + 2)] +
                          8 * below[size_t(x + 1)];
      switch (corners) {  // bits: top-left 1, top-right 2, bottom-right 4, bottom-left 8
        case 1:
          step(kLeft, kTop);
          break;
        case 2:
          step(kTop, kRight);
          break;
        case 3:
          step(kLeft, kRight);
          break;
        case 4:
          step(kRight, kBottom);
          break;
        case 5:
          step(kLeft, kTop);
          step(kRight, kBottom);
          break;
        case 6:
          step(kTop, kBottom);
          break;
        case 7:
          step(kLeft, kBottom);
          break;
        case 8:
          step(kBottom, kLeft);
          break;
        case 9:
          step(kBottom, kTop);
          break;
        case 10:
          step(kTop, kRight);
          step(kBottom, kLeft);
          break;
        case 11:
          step(kBottom, kRight);
          break;
        case 12:
          step(kRight, kLeft);
          break;
        case 13:
          step(kRight, kTop);
          break;
        case 14:
          step(kTop, kLeft);
          break;
        default:
          break;
      }
    }
    above.swap(below);
  }
  std::vector<Loop> loops;
  for (Index start = 0; start < grid.all_sides(); ++start) {
    if (next[size_t(start)] < 0) continue;
    loops.emplace_back();
    for (Index at = start; next[size_t(at)] >= 0;) {
      loops.back().push_back(grid.middle(at));
      at = std::exchange(next[size_t(at)], -1);
    }
  }
  return loops;
}

Loop smoothed(const Loop& loop, double limit) {
  const size_t n = loop.size();
  if (n < 12) return loop;
  Loop current = loop, moved(n);
  // Taubin lambda/mu smoothing: a low pass filter that preserves the area.
  for (const double step : {0.5, -0.52, 0.5, -0.52, 0.5, -0.52, 0.5, -0.52}) {
    for (size_t i = 0; i < n; ++i) {
      const Point2 mean = (current[i == 0 ? n - 1 : i - 1] + current[i + 1 == n ? 0 : i + 1]) / 2;
      moved[i] = current[i] + step * (mean - current[i]);
    }
    current.swap(moved);
  }
  for (size_t i = 0; i < n; ++i) {
    const Point2 reach = Point2::Constant(limit);
    current[i] = current[i].cwiseMax(loop[i] - reach).cwiseMin(loop[i] + reach);
  }
  return current;
}

double signed_area(const Loop& loop) {
  double twice = 0;
  for (size_t i = 0; i < loop.size(); ++i) {
    const Point2 &a = loop[i], &b = loop[i + 1 == loop.size() ? 0 : i + 1];
    twice += a.y() * b.x() - a.x() * b.y();
  }
  return twice / 2;
}

double perimeter(const Loop& loop) {
  double length = 0;
  for (size_t i = 0; i < loop.size(); ++i)
    length += (loop[i + 1 == loop.size() ? 0 : i + 1] - loop[i]).norm();
  return length;
}

Loop resampled(const Loop& loop, double spacing) {
  const double length = perimeter(loop);
  const size_t count = std::max(size_t(3), size_t(std::lround(length / spacing)));
  Loop out;
  out.reserve(count);
  double passed = 0;
  for (size_t i = 0; i < loop.size() && out.size() < count; ++i) {
    const Point2 &a = loop[i], &b = loop[i + 1 == loop.size() ? 0 : i + 1];
    const double step = (b - a).norm();
    while (out.size() < count) {
      const double wanted = length * double(out.size()) / double(count);
      if (wanted > passed + step || step == 0) break;
      out.push_back(a + (wanted - passed) / step * (b - a));
    }
    passed += step;
  }
  return out;
}

Region::Region(const std::vector<Loop>& loops, double strip_height) : height_(strip_height) {
  double high = 0;
  bool any = false;
  for (const Loop& loop : loops) {
    for (const Point2& p : loop) {
      low_ = any ? std::min(low_, p.y()) : p.y();
      high = any ? std::max(high, p.y()) : p.y();
      any = true;
    }
  }
  if (!any) return;
  strips_.resize(size_t((high - low_) / height_) + 1);
  for (const Loop& loop : loops) {
    for (size_t i = 0; i < loop.size(); ++i) {
      const Point2 &a = loop[i], &b = loop[i + 1 == loop.size() ? 0 : i + 1];
      const auto first = strip(std::min(a.y(), b.y())), last = strip(std::max(a.y(), b.y()));
      for (auto s = first; s <= last; ++s) strips_[size_t(s)].push_back({a.x(), a.y(), b.x(), b.y()});
    }
  }
}

std::ptrdiff_t Region::strip(double y) const { return std::ptrdiff_t(std::floor((y - low_) / height_)); }

bool Region::contains(double x, double y) const {
  const auto s = strip(y);
  if (s < 0 || s >= std::ptrdiff_t(strips_.size())) return false;
  bool in = false;
  for (const Segment& segment : strips_[size_t(s)]) {
    if (segment.spans(y) && segment.at(y) > x) in = !in;
  }
  return in;
}

void Region::crossings(double y, std::vector<double>& out) const {
  out.clear();
  const auto s = strip(y);
  if (s < 0 || s >= std::ptrdiff_t(strips_.size())) return;
  for (const Segment& segment : strips_[size_t(s)]) {
    if (segment.spans(y)) out.push_back(segment.at(y));
  }
  std::sort(out.begin(), out.end());
}

}  // namespace facegeom
