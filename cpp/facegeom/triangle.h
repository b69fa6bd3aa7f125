#pragma once

#include <facegeom/types.h>

#include <algorithm>

namespace facegeom {

//! A triangle is degenerate if twice its area divided by its longest squared edge is below this ratio. The
//! rounding error of a collinear triangle is about 1e-16; a needle 0.001 mm wide and 100 mm long has 1e-5.
constexpr double kDegenerateRatio = 1e-12;
//! A triangle is also degenerate if the square of twice its area is below this value, the least double of
//! full precision: quotients by the area could overflow.
constexpr double kMinSquaredArea = 2.2250738585072014e-308;

//! A point or a vector.
struct Vec3 {
  double x, y, z;

  Vec3 operator-(const Vec3& o) const { return {x - o.x, y - o.y, z - o.z}; }
  double dot(const Vec3& o) const { return x * o.x + y * o.y + z * o.z; }
  Vec3 cross(const Vec3& o) const { return {y * o.z - z * o.y, z * o.x - x * o.z, x * o.y - y * o.x}; }
  double squared() const { return dot(*this); }
};

inline Vec3 load_point(const double* V, Index i) { return {V[3 * i], V[3 * i + 1], V[3 * i + 2]}; }

//! The three edge vectors of a triangle and its area normal.
struct Triangle {
  Vec3 edge0, edge1, edge2;  //!< opposite to corners 0, 1, 2: c - b, a - c, b - a
  Vec3 area_normal;          //!< its length is twice the area

  Triangle(const Vec3& a, const Vec3& b, const Vec3& c)
      : edge0(c - b), edge1(a - c), edge2(b - a), area_normal(edge2.cross(c - a)) {}
  Triangle(const double* V, const Index* face)
      : Triangle(load_point(V, face[0]), load_point(V, face[1]), load_point(V, face[2])) {}

  double longest_squared() const { return std::max({edge0.squared(), edge1.squared(), edge2.squared()}); }
  bool degenerate() const {
    const double area = area_normal.squared();
    // Twice the sum of two squared edges is at least the longest squared edge: most triangles are decided
    // here.
    const double safe = 2 * kDegenerateRatio * (edge1.squared() + edge2.squared());
    if (area > std::max(safe * safe, kMinSquaredArea)) return false;
    const double limit = kDegenerateRatio * longest_squared();
    return !(area > std::max(limit * limit, kMinSquaredArea));
  }
};

}  // namespace facegeom
