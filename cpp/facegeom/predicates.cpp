#include <facegeom/predicates.h>

namespace facegeom::detail {

namespace {

//! A rounded result and its rounding error; their sum is the exact result.
struct Pair {
  double high, low;
};

Pair two_sum(double a, double b) {
  const double sum = a + b;
  const double b_part = sum - a;
  const double a_part = sum - b_part;
  return {sum, (a - a_part) + (b - b_part)};
}

//! two_sum for |a| >= |b|.
Pair ordered_sum(double a, double b) {
  const double sum = a + b;
  return {sum, b - (sum - a)};
}

//! The upper and lower 26 bits of a double.
Pair halves(double a) {
  const double shifted = 134217729.0 * a;  // 2^27 + 1
  const double high = shifted - (shifted - a);
  return {high, a - high};
}

Pair two_product(double a, double b) {
  const double product = a * b;
  const Pair x = halves(a), y = halves(b);
  const double rest = ((product - x.high * y.high) - x.low * y.high) - x.high * y.low;
  return {product, x.low * y.low - rest};
}

// Double-double arithmetic, about 104 bits: the second stage of the in-circle test.
Pair operator*(const Pair& a, const Pair& b) {
  Pair p = two_product(a.high, b.high);
  p.low += a.high * b.low + a.low * b.high;
  return ordered_sum(p.high, p.low);
}

Pair operator+(const Pair& a, const Pair& b) {
  Pair s = two_sum(a.high, b.high);
  const Pair t = two_sum(a.low, b.low);
  s = ordered_sum(s.high, s.low + t.high);
  return ordered_sum(s.high, s.low + t.low);
}

Pair operator-(const Pair& a) { return {-a.high, -a.low}; }
Pair operator-(const Pair& a, const Pair& b) { return a + (-b); }

//! An exact sum of non-overlapping doubles, in order of increasing magnitude, without zeros.
template <int Capacity>
struct Expansion {
  double part[Capacity];
  int size = 0;

  void add(double value) {
    int kept = 0;
    for (int i = 0; i < size; ++i) {
      const Pair s = two_sum(value, part[i]);
      value = s.high;
      if (s.low != 0) part[kept++] = s.low;
    }
    if (value != 0) part[kept++] = value;
    size = kept;
  }
  double sign_value() const { return size == 0 ? 0.0 : part[size - 1]; }
};

Expansion<2> difference(double a, double b) {
  Expansion<2> out;
  const Pair s = two_sum(a, -b);
  out.add(s.low);
  out.add(s.high);
  return out;
}

template <int M, int N>
Expansion<M + N> sum(const Expansion<M>& a, const Expansion<N>& b, double factor = 1) {
  Expansion<M + N> out;
  for (int i = 0; i < a.size; ++i) out.part[i] = a.part[i];
  out.size = a.size;
  for (int i = 0; i < b.size; ++i) out.add(factor * b.part[i]);
  return out;
}

template <int M, int N>
Expansion<2 * M * N> product(const Expansion<M>& a, const Expansion<N>& b) {
  Expansion<2 * M * N> out;
  for (int i = 0; i < a.size; ++i) {
    for (int j = 0; j < b.size; ++j) {
      const Pair p = two_product(a.part[i], b.part[j]);
      if (p.low != 0) out.add(p.low);
      out.add(p.high);
    }
  }
  return out;
}

}  // namespace

double orient2d_exact(const double* a, const double* b, const double* c) {
  const auto left = product(difference(a[0], c[0]), difference(b[1], c[1]));
  const auto right = product(difference(a[1], c[1]), difference(b[0], c[0]));
  return sum(left, right, -1).sign_value();
}

double incircle_exact(const double* a, const double* b, const double* c, const double* d, double permanent) {
  {
    const Pair ax = two_sum(a[0], -d[0]), ay = two_sum(a[1], -d[1]);
    const Pair bx = two_sum(b[0], -d[0]), by = two_sum(b[1], -d[1]);
    const Pair cx = two_sum(c[0], -d[0]), cy = two_sum(c[1], -d[1]);
    const Pair det = (ax * ax + ay * ay) * (bx * cy - cx * by) + (bx * bx + by * by) * (cx * ay - ax * cy) +
                     (cx * cx + cy * cy) * (ax * by - bx * ay);
    // Fewer than forty operations in sequence, each with a relative error below 2^-101: 2^-95 is a safe
    // bound.
    const double bound = 2.5243548967072378e-29 * permanent;
    if (det.high > bound || -det.high > bound) return det.high;
  }
  const auto ax = difference(a[0], d[0]), ay = difference(a[1], d[1]);
  const auto bx = difference(b[0], d[0]), by = difference(b[1], d[1]);
  const auto cx = difference(c[0], d[0]), cy = difference(c[1], d[1]);
  const auto term = [](const auto& px, const auto& py, const auto& qx, const auto& qy, const auto& rx,
                       const auto& ry) {
    const auto lift = sum(product(px, px), product(py, py));
    const auto cross = sum(product(qx, ry), product(rx, qy), -1);
    return product(lift, cross);
  };
  return sum(sum(term(ax, ay, bx, by, cx, cy), term(bx, by, cx, cy, ax, ay)), term(cx, cy, ax, ay, bx, by))
      .sign_value();
}

}  // namespace facegeom::detail
