#pragma once

#include <facegeom/types.h>

#include <algorithm>

namespace facegeom {

//! Double area over longest squared edge below which a triangle counts as degenerate. A collinear triangle
//! has rounding noise of about 1e-16 there, a needle of 0.001 mm on edges of 100 mm has 1e-5.
constexpr double kDegenerateRatio = 1e-12;

//! A corner of a triangle, or the vector between two of them.
struct Vec3 {
  double x, y, z;

  Vec3 operator-(const Vec3& o) const { return {x - o.x, y - o.y, z - o.z}; }
  double dot(const Vec3& o) const { return x * o.x + y * o.y + z * o.z; }
  Vec3 cross(const Vec3& o) const { return {y * o.z - z * o.y, z * o.x - x * o.z, x * o.y - y * o.x}; }
  double squared() const { return dot(*this); }
};

inline Vec3 load_point(const double* V, Index i) { return {V[3 * i], V[3 * i + 1], V[3 * i + 2]}; }

//! The three edges of a triangle, each opposite to its corner, and the area normal that they span.
struct Triangle {
  Vec3 edge0, edge1, edge2;  //!< c - b, a - c, b - a
  Vec3 area_normal;          //!< length: double area

  Triangle(const Vec3& a, const Vec3& b, const Vec3& c)
      : edge0(c - b), edge1(a - c), edge2(b - a), area_normal(edge2.cross(c - a)) {}
  Triangle(const double* V, const Index* face)
      : Triangle(load_point(V, face[0]), load_point(V, face[1]), load_point(V, face[2])) {}

  double longest_squared() const { return std::max({edge0.squared(), edge1.squared(), edge2.squared()}); }
  bool degenerate() const {
    const double limit = kDegenerateRatio * longest_squared();
    return !(area_normal.squared() > limit * limit);
  }
};

}  // namespace facegeom
