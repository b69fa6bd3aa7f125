#include <facegeom/raster.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace facegeom {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

//! Twice the signed area of (a, b, p), positive when the three turn clockwise on a screen with y down.
struct Edge {
  double ax, ay, dx, dy;
  bool owns_border;

  Edge(double ax_, double ay_, double bx, double by) : ax(ax_), ay(ay_), dx(bx - ax_), dy(by - ay_) {
    owns_border = dy < 0 || (dy == 0 && dx > 0);
  }
  double at(double x, double y) const { return dx * (y - ay) - dy * (x - ax); }
  bool inside(double value) const { return value > 0 || (value == 0 && owns_border); }
};

}  // namespace

Raster rasterize(PointsIn V, FacesIn F, RowsIn attributes, Index height, Index width) {
  if (height < 1 || width < 1) throw std::invalid_argument("the raster must have at least one pixel");
  if (attributes.rows() != V.rows()) {
    throw std::invalid_argument("attributes must have one row per vertex");
  }
  const Index pixels = height * width;
  const Index k = attributes.cols();
  Raster out{Rows::Constant(pixels, k, kNaN), Vector::Constant(pixels, kNaN), Indices::Constant(pixels, -1)};
  Points weights(pixels, 3);

  for (Index f = 0; f < F.rows(); ++f) {
    Index a = F(f, 0), b = F(f, 1), c = F(f, 2);
    double area = (V(b, 0) - V(a, 0)) * (V(c, 1) - V(a, 1)) - (V(b, 1) - V(a, 1)) * (V(c, 0) - V(a, 0));
    if (!(std::abs(area) > 0)) continue;
    const bool swapped = area < 0;
    if (swapped) {
      std::swap(b, c);
      area = -area;
    }
    const double xa = V(a, 0), ya = V(a, 1), xb = V(b, 0), yb = V(b, 1), xc = V(c, 0), yc = V(c, 1);
    const double low_x = std::max(0.0, std::ceil(std::min({xa, xb, xc})));
    const double high_x = std::min(double(width - 1), std::floor(std::max({xa, xb, xc})));
    const double low_y = std::max(0.0, std::ceil(std::min({ya, yb, yc})));
    const double high_y = std::min(double(height - 1), std::floor(std::max({ya, yb, yc})));
    if (!(low_x <= high_x && low_y <= high_y)) continue;
    const Edge ab(xa, ya, xb, yb), bc(xb, yb, xc, yc), ca(xc, yc, xa, ya);
    for (Index y = Index(low_y); y <= Index(high_y); ++y) {
      for (Index x = Index(low_x); x <= Index(high_x); ++x) {
        const double wa = bc.at(double(x), double(y));
        const double wb = ca.at(double(x), double(y));
        const double wc = ab.at(double(x), double(y));
        if (!bc.inside(wa) || !ca.inside(wb) || !ab.inside(wc)) continue;
        const double z = (wa * V(a, 2) + wb * V(b, 2) + wc * V(c, 2)) / area;
        const Index p = y * width + x;
        if (z > out.depth[p] || std::isnan(out.depth[p])) {
          out.depth[p] = z;
          out.triangle[p] = f;
          weights(p, 0) = wa / area;
          weights(p, swapped ? 2 : 1) = wb / area;
          weights(p, swapped ? 1 : 2) = wc / area;
        }
      }
    }
  }

  if (k > 0) {
    for (Index p = 0; p < pixels; ++p) {
      const Index f = out.triangle[p];
      if (f < 0) continue;
      out.attributes.row(p) = weights(p, 0) * attributes.row(F(f, 0)) + weights(p, 1) * attributes.row(F(f, 1)) +
                              weights(p, 2) * attributes.row(F(f, 2));
    }
  }
  return out;
}

}  // namespace facegeom
