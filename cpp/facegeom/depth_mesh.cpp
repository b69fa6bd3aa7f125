#include <facegeom/checks.h>
#include <facegeom/cleanup.h>
#include <facegeom/delaunay.h>
#include <facegeom/depth_mesh.h>
#include <facegeom/interrupt.h>
#include <facegeom/outline.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace facegeom {

namespace {

constexpr double kRowStep = 0.86602540378443865;  // height of an equilateral triangle of side 1
constexpr double kClearance = 0.55;      // minimum distance of lattice points to the outline, in spacings
constexpr Index kUnitsPerElement = 100;  // work of a triangle or a point of the outline, see WorkCounter
constexpr double kMaxSlope = 1.0;        // maximum slope of the extrapolated ring, mm of depth per mm

//! Pixels of the mask in a 2 x 2 block of it. Lines one pixel wide have no area to triangulate.
Mask without_strokes(MaskIn mask) {
  Mask out = Mask::Constant(mask.rows(), mask.cols(), false);
  for (Index y = 0; y + 1 < mask.rows(); ++y) {
    poll_interrupt();
    for (Index x = 0; x + 1 < mask.cols(); ++x) {
      if (mask(y, x) && mask(y, x + 1) && mask(y + 1, x) && mask(y + 1, x + 1)) {
        out.block(y, x, 2, 2).setConstant(true);
      }
    }
  }
  return out;
}

//! The depth of the foreground and of a ring of one pixel around it, NaN elsewhere.
class Surface {
 public:
  Surface(RowsIn depth, const Mask& mask, double pixel_mm)
      : width_(depth.cols()),
        height_(depth.rows()),
        values_(Rows::Constant(height_ + 2, width_ + 2, std::numeric_limits<double>::quiet_NaN())) {
    for (Index y = 0; y < height_; ++y) {
      for (Index x = 0; x < width_; ++x) {
        if (!mask(y, x)) continue;
        if (!(std::abs(depth(y, x)) <= kMaxMagnitude)) {
          throw std::invalid_argument("depth must be finite and within 1e30 of 0 inside the mask");
        }
        values_(y + 1, x + 1) = depth(y, x);
      }
    }
    const Rows known = values_;
    for (Index y = 0; y < height_ + 2; ++y) {
      poll_interrupt();
      for (Index x = 0; x < width_ + 2; ++x) {
        if (std::isnan(known(y, x))) values_(y, x) = extrapolated(known, x, y, pixel_mm);
      }
    }
  }

  //! Bilinear interpolation over the known pixels, their weights normalised; without any, the nearest pixel.
  double at(double x, double y) const {
    const Index x0 = std::clamp(Index(std::floor(x)), Index(-1), width_ - 1);
    const Index y0 = std::clamp(Index(std::floor(y)), Index(-1), height_ - 1);
    const double u = x - double(x0), v = y - double(y0);
    double sum = 0, weight = 0;
    for (Index j = 0; j < 2; ++j) {
      for (Index i = 0; i < 2; ++i) {
        const double value = values_(y0 + j + 1, x0 + i + 1);
        const double w = (i ? u : 1 - u) * (j ? v : 1 - v);
        if (std::isnan(value) || w == 0) continue;
        sum += w * value;
        weight += w;
      }
    }
    return weight > 0 ? sum / weight : nearest(x, y);
  }

 private:
  static double value_at(const Rows& known, Index x, Index y) {
    if (x < 0 || y < 0 || x >= known.cols() || y >= known.rows())
      return std::numeric_limits<double>::quiet_NaN();
    return known(y, x);
  }

  //! Mean of the linear extrapolations from two known pixels in a row, over the 8 directions; without any,
  //! the mean of the known neighbours.
  static double extrapolated(const Rows& known, Index x, Index y, double pixel_mm) {
    double line = 0, flat = 0;
    int lines = 0, flats = 0;
    for (Index j = -1; j <= 1; ++j) {
      for (Index i = -1; i <= 1; ++i) {
        const double first = value_at(known, x + i, y + j);
        if (std::isnan(first)) continue;
        flat += first;
        ++flats;
        const double second = value_at(known, x + 2 * i, y + 2 * j);
        if (std::isnan(second)) continue;
        const double limit = kMaxSlope * pixel_mm * std::sqrt(double(i * i + j * j));
        line += first + std::clamp(first - second, -limit, limit);
        ++lines;
      }
    }
    if (lines > 0) return line / lines;
    return flats > 0 ? flat / flats : std::numeric_limits<double>::quiet_NaN();
  }

  double nearest(double x, double y) const {
    double best = std::numeric_limits<double>::infinity(), value = 0;
    poll_interrupt();
    for (Index j = 0; j < values_.rows(); ++j) {
      for (Index i = 0; i < values_.cols(); ++i) {
        const double distance = std::hypot(double(i - 1) - x, double(j - 1) - y);
        if (distance < best && !std::isnan(values_(j, i))) {
          best = distance;
          value = values_(j, i);
        }
      }
    }
    return value;
  }

  Index width_, height_;
  Rows values_;  // with a margin of one pixel on each side
};

//! The spacing with which the outline and the lattice together have about `count` vertices.
double spacing_for(double area, double length, Index count) {
  // With spacing s the lattice has area / (kRowStep s^2) vertices, minus those in a margin of kClearance s
  // along the outline; the outline has length / s.
  const double square = area / kRowStep;
  const double linear = length * (1 - kClearance / kRowStep);
  const double wanted = double(count);
  const double inverse = (-linear + std::sqrt(linear * linear + 4 * square * wanted)) / (2 * square);
  return std::max(kMinSpacing, 1 / inverse);
}

//! Points of the triangular lattice inside the region, at least kClearance spacings from its boundary.
std::vector<Point2> lattice(const std::vector<Loop>& loops, const Region& region, double spacing) {
  Point2 low = loops[0][0], high = loops[0][0];
  for (const Loop& loop : loops) {
    for (const Point2& p : loop) {
      low = low.cwiseMin(p);
      high = high.cwiseMax(p);
    }
  }
  const double row_step = kRowStep * spacing;
  const Index rows = Index((high.y() - low.y()) / row_step) + 1;
  const Index cols = Index((high.x() - low.x()) / spacing) + 2;
  const auto x_of = [&](Index row, Index col) {
    return low.x() + (double(col) - (row % 2 ? 0.5 : 0.0)) * spacing;
  };
  const auto y_of = [&](Index row) { return low.y() + (double(row) + 0.5) * row_step; };
  const auto first_col = [&](Index row, double x) {
    return Index(std::clamp(std::ceil((x - x_of(row, 0)) / spacing), 0.0, double(cols)));
  };

  std::vector<char> taken(size_t(rows * cols), 0);
  std::vector<double> crossings;
  for (Index row = 0; row < rows; ++row) {
    poll_interrupt();
    region.crossings(y_of(row), crossings);
    for (size_t i = 0; i + 1 < crossings.size(); i += 2) {
      const Index end = first_col(row, crossings[i + 1]);
      for (Index col = first_col(row, crossings[i]); col < end; ++col) taken[size_t(row * cols + col)] = 1;
    }
  }
  const double clearance = kClearance * spacing;
  WorkCounter work;
  for (const Loop& loop : loops) {
    for (size_t i = 0; i < loop.size(); ++i) {
      work.add(kUnitsPerElement);
      const Point2 &a = loop[i], &b = loop[i + 1 == loop.size() ? 0 : i + 1];
      const Point2 along = b - a;
      const double length2 = along.squaredNorm();
      const Point2 from = a.cwiseMin(b).array() - clearance, to = a.cwiseMax(b).array() + clearance;
      const Index first_row = std::max(Index(0), Index(std::ceil((from.y() - low.y()) / row_step - 0.5)));
      for (Index row = first_row; row < rows && y_of(row) <= to.y(); ++row) {
        for (Index col = first_col(row, from.x()); col < cols && x_of(row, col) <= to.x(); ++col) {
          const Point2 p(x_of(row, col), y_of(row));
          const double t = length2 > 0 ? std::clamp((p - a).dot(along) / length2, 0.0, 1.0) : 0.0;
          if ((p - a - t * along).squaredNorm() < clearance * clearance) taken[size_t(row * cols + col)] = 0;
        }
      }
    }
  }
  std::vector<Point2> points;
  for (Index row = 0; row < rows; ++row) {
    for (Index col = 0; col < cols; ++col) {
      if (taken[size_t(row * cols + col)]) points.emplace_back(x_of(row, col), y_of(row));
    }
  }
  return points;
}

//! Vertices of the outline, then those of the lattice. `after[v]` follows v on its contour.
struct Samples {
  Points2 pixel;
  std::vector<Index> after;

  Index outline_size() const { return Index(after.size()); }
  bool on_outline(Index v) const { return v < outline_size(); }
  bool consecutive(Index v, Index w) const { return after[size_t(v)] == w || after[size_t(w)] == v; }
};

Samples gather(const std::vector<Loop>& loops, const std::vector<Point2>& inner) {
  Samples out;
  size_t count = inner.size();
  for (const Loop& loop : loops) count += loop.size();
  out.pixel.resize(Index(count), 2);
  Index row = 0;
  for (const Loop& loop : loops) {
    const Index first = row;
    for (const Point2& p : loop) {
      out.pixel.row(row++) = p;
      out.after.push_back(row);
    }
    out.after.back() = first;
  }
  for (const Point2& p : inner) out.pixel.row(row++) = p;
  return out;
}

//! Whether a triangle belongs to the foreground. Only triangles with a vertex on the outline can lie outside.
bool in_foreground(const Samples& samples, const Region& region, const Faces& F, Index f) {
  int outline = 0;
  for (int k = 0; k < 3; ++k) outline += samples.on_outline(F(f, k));
  if (outline == 0) return true;
  const Point2 centroid =
      (samples.pixel.row(F(f, 0)) + samples.pixel.row(F(f, 1)) + samples.pixel.row(F(f, 2))) / 3;
  if (!region.contains(centroid.x(), centroid.y())) return false;
  if (outline == 1) return true;
  for (int k = 0; k < 3; ++k) {
    const Index v = F(f, k), w = F(f, (k + 1) % 3);
    if (!samples.on_outline(v) || !samples.on_outline(w) || samples.consecutive(v, w)) continue;
    const Point2 middle = (samples.pixel.row(v) + samples.pixel.row(w)) / 2;
    if (!region.contains(middle.x(), middle.y())) return false;
  }
  return true;
}

Indices foreground_triangles(const Samples& samples, const Region& region, const Faces& F) {
  Indices rows(F.rows());
  Index kept = 0;
  WorkCounter work;
  for (Index f = 0; f < F.rows(); ++f) {
    work.add(kUnitsPerElement);
    if (in_foreground(samples, region, F, f)) rows[kept++] = f;
  }
  rows.conservativeResize(kept);
  Faces kept_F(kept, 3);
  for (Index i = 0; i < kept; ++i) kept_F.row(i) = F.row(rows[i]);
  const Indices fans = unpinched_triangles(kept_F, samples.pixel.rows());
  Indices out(fans.size());
  for (Index i = 0; i < fans.size(); ++i) out[i] = rows[fans[i]];
  return out;
}

}  // namespace

DepthMesh depth_to_mesh(RowsIn depth, MaskIn mask, const DepthMeshOptions& options) {
  if (depth.rows() != mask.rows() || depth.cols() != mask.cols()) {
    throw std::invalid_argument("depth and mask must have the same shape");
  }
  if (!(options.scale >= 1 / kMaxMagnitude && options.scale <= kMaxMagnitude)) {
    throw std::invalid_argument("the scale must be positive, from 1e-30 to 1e30");
  }
  if (!(std::abs(options.origin_x) <= kMaxMagnitude && std::abs(options.origin_y) <= kMaxMagnitude)) {
    throw std::invalid_argument("the origin must be finite and within 1e30 of 0");
  }
  if (mask.cols() > 0 && mask.rows() > kMaxPixels / mask.cols()) {
    throw std::invalid_argument("the map may have at most 2^28 pixels");
  }
  if (options.vertex_count < 3) throw std::invalid_argument("a mesh needs at least 3 vertices");

  const Mask solid = without_strokes(mask);
  std::vector<Loop> loops = contours(mask.cols(), mask.rows(), [&](Index x, Index y) { return solid(y, x); });
  if (loops.empty()) return {Points(0, 3), Faces(0, 3), Points2(0, 2)};
  double area = 0, length = 0;
  for (Loop& loop : loops) {
    loop = smoothed(loop, 0.4);
    for (Point2& p : loop) {
      p.x() = std::clamp(p.x(), 0.0, double(mask.cols() - 1));
      p.y() = std::clamp(p.y(), 0.0, double(mask.rows() - 1));
    }
    area += signed_area(loop);
    length += perimeter(loop);
  }
  const double spacing = spacing_for(area, length, options.vertex_count);
  for (Loop& loop : loops) loop = resampled(loop, spacing);

  const Region region(loops, kRowStep * spacing);
  const Samples samples = gather(loops, lattice(loops, region, spacing));
  Points2 plane = samples.pixel;
  plane.col(1) *= -1;
  const Faces F = delaunay(plane);

  const Surface surface(depth, solid, 1 / options.scale);
  Points V(samples.pixel.rows(), 3);
  WorkCounter work;
  for (Index v = 0; v < V.rows(); ++v) {
    work.add(kUnitsPerElement);
    const double x = samples.pixel(v, 0), y = samples.pixel(v, 1);
    V.row(v) << (x - options.origin_x) / options.scale, (options.origin_y - y) / options.scale,
        surface.at(x, y);
  }
  const Indices all = Indices::LinSpaced(F.rows(), 0, F.rows() - 1);
  Submesh kept = submesh(V, F, options.background ? all : foreground_triangles(samples, region, F));
  DepthMesh out{std::move(kept.V), std::move(kept.F), Points2(kept.vertices.size(), 2)};
  for (Index v = 0; v < kept.vertices.size(); ++v) out.pixel.row(v) = samples.pixel.row(kept.vertices[v]);
  return out;
}

}  // namespace facegeom
