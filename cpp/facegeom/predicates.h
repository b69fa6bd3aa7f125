#pragma once

#include <cmath>

namespace facegeom {

//! Planar predicates whose sign is always right: a floating-point filter decides where rounding cannot
//! matter, and expansion arithmetic (sums of non-overlapping doubles; \cite shewchuk_1997_adaptive) decides
//! the rest.
//! \pre No product of four coordinate differences overflows or falls below the normal range.

namespace detail {
constexpr double kHalfUlp = 1.1102230246251565e-16;  // 2^-53
double orient2d_exact(const double* a, const double* b, const double* c);
double incircle_exact(const double* a, const double* b, const double* c, const double* d, double permanent);
}  // namespace detail

//! Twice the signed area of (a, b, c) up to rounding, with the exact sign: positive counter-clockwise (y up).
inline double orient2d(const double* a, const double* b, const double* c) {
  const double left = (a[0] - c[0]) * (b[1] - c[1]);
  const double right = (a[1] - c[1]) * (b[0] - c[0]);
  const double det = left - right;
  // Differences, products and the subtraction err by at most (3 + small) half-ulps of the magnitudes.
  const double bound = 4 * detail::kHalfUlp * (std::abs(left) + std::abs(right));
  if (det > bound || -det > bound) return det;
  return detail::orient2d_exact(a, b, c);
}

//! The in-circle determinant without any protection: exact when the coordinates are integers up to 2^12.
//! \param permanent receives the sum of the magnitudes of its terms
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

//! Positive when d lies inside the circle of the counter-clockwise triangle (a, b, c), zero on it; exact
//! sign.
inline double incircle(const double* a, const double* b, const double* c, const double* d) {
  double permanent;
  const double det = incircle_plain(a, b, c, d, permanent);
  // (10 + small) half-ulps of the permanent bound the rounding error.
  const double bound = 12 * detail::kHalfUlp * permanent;
  if (det > bound || -det > bound) return det;
  return detail::incircle_exact(a, b, c, d, permanent);
}

}  // namespace facegeom
