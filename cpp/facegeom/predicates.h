#pragma once

#include <cmath>

// Planar predicates with an exact sign. A floating-point filter decides where rounding errors cannot change
// the sign; else expansion arithmetic (sums of non-overlapping doubles) does. \cite shewchuk1997adaptive

namespace facegeom {

namespace detail {
constexpr double kHalfUlp = 1.1102230246251565e-16;  // 2^-53
double orient2d_exact(const double* a, const double* b, const double* c);
double incircle_exact(const double* a, const double* b, const double* c, const double* d, double permanent);
}  // namespace detail

//! Twice the signed area of the triangle (a, b, c): rounded, but with the exact sign, positive if the
//! triangle is counter-clockwise (y up).
//! \pre no product of two coordinate differences overflows or underflows
//! \param a (2,)
//! \param b (2,)
//! \param c (2,)
//! \return twice the area
inline double orient2d(const double* a, const double* b, const double* c) {
  const double left = (a[0] - c[0]) * (b[1] - c[1]);
  const double right = (a[1] - c[1]) * (b[0] - c[0]);
  const double det = left - right;
  // The error of the differences, products and the subtraction is at most (3 + small) half-ulps of the
  // magnitudes.
  const double bound = 4 * detail::kHalfUlp * (std::abs(left) + std::abs(right));
  if (det > bound || -det > bound) return det;
  return detail::orient2d_exact(a, b, c);
}

//! The in-circle determinant in floating-point arithmetic: exact if the coordinates are integers up to 2^12.
//! \param a (2,)
//! \param b (2,)
//! \param c (2,)
//! \param d (2,)
//! \param permanent set to the sum of the magnitudes of the terms
//! \return the determinant; its sign is that of incircle() if it is exact
inline double incircle_plain(const double* a, const double* b, const double* c, const double* d,
                             double& permanent) {
  const double ax = a[0] - d[0], ay = a[1] - d[1];
  const double bx = b[0] - d[0], by = b[1] - d[1];
  const double cx = c[0] - d[0], cy = c[1] - d[1];
  const double bxcy = bx * cy, cxby = cx * by, cxay = cx * ay, axcy = ax * cy, axby = ax * by, bxay = bx * ay;
  const double a2 = ax * ax + ay * ay, b2 = bx * bx + by * by, c2 = cx * cx + cy * cy;
  permanent = a2 * (std::abs(bxcy) + std::abs(cxby)) + b2 * (std::abs(cxay) + std::abs(axcy)) +
              c2 * (std::abs(axby) + std::abs(bxay));
  return a2 * (bxcy - cxby) + b2 * (cxay - axcy) + c2 * (axby - bxay);
}

//! Position of a point relative to a circle: rounded, but with the exact sign, positive if d lies inside the
//! circumcircle of the counter-clockwise triangle (a, b, c), zero on it.
//! \pre no product of four coordinate differences overflows or underflows
//! \param a (2,)
//! \param b (2,)
//! \param c (2,)
//! \param d (2,)
//! \return the in-circle determinant
inline double incircle(const double* a, const double* b, const double* c, const double* d) {
  double permanent;
  const double det = incircle_plain(a, b, c, d, permanent);
  // (10 + small) half-ulps of the permanent bound the rounding error.
  const double bound = 12 * detail::kHalfUlp * permanent;
  if (det > bound || -det > bound) return det;
  return detail::incircle_exact(a, b, c, d, permanent);
}

}  // namespace facegeom
