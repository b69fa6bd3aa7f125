#include "helpers.h"

#include <facegeom/predicates.h>

#include <cmath>

using namespace facegeom;

namespace {

int sign(double value) { return (value > 0) - (value < 0); }

}  // namespace

TEST_CASE("orient2d: twice the signed area") {
  const double a[2] = {0, 0}, b[2] = {2, 0}, c[2] = {0, 3};
  CHECK(orient2d(a, b, c) == 6);
  CHECK(orient2d(a, c, b) == -6);
  CHECK(orient2d(a, b, b) == 0);
}

TEST_CASE("orient2d: exact sign one unit in the last place from a line") {
  const double a[2] = {12, 12}, b[2] = {24, 24};
  const double ulp = std::ldexp(1.0, -53);
  for (int i = 0; i < 32; ++i) {
    for (int j = 0; j < 32; ++j) {
      // (x - y) is a multiple of the unit, so the exact sign is that of j - i.
      const double p[2] = {0.5 + i * ulp, 0.5 + j * ulp};
      CHECK(sign(orient2d(a, b, p)) == sign(p[1] - p[0]));
    }
  }
}

TEST_CASE("orient2d: cyclic permutations keep the sign, transpositions reverse it") {
  const Rows points = testing::normal_values(60, 2, 1);
  for (Index i = 0; i + 2 < points.rows(); ++i) {
    const double *a = points.row(i).data(), *b = points.row(i + 1).data(), *c = points.row(i + 2).data();
    CHECK(sign(orient2d(a, b, c)) == sign(orient2d(b, c, a)));
    CHECK(sign(orient2d(a, b, c)) == -sign(orient2d(b, a, c)));
  }
}

TEST_CASE("incircle: inside, outside and on the unit circle") {
  const double a[2] = {1, 0}, b[2] = {0, 1}, c[2] = {-1, 0};
  const double inside[2] = {0, 0.5}, on[2] = {0, -1}, outside[2] = {0, -1.5};
  CHECK(incircle(a, b, c, inside) > 0);
  CHECK(incircle(a, b, c, on) == 0);
  CHECK(incircle(a, b, c, outside) < 0);
}

TEST_CASE("incircle: exact sign next to the circle, far from the origin") {
  // Four points of a circle with integer coordinates, shifted where a unit in the last place is 2^-23.
  const double shift = std::ldexp(1.0, 29), ulp = std::ldexp(1.0, -23);
  const auto at = [shift](double x, double y) { return Eigen::Vector2d(x + shift, y + shift); };
  const Eigen::Vector2d a = at(5, 0), b = at(3, 4), c = at(-4, 3);
  Eigen::Vector2d d = at(0, -5);
  CHECK(incircle(a.data(), b.data(), c.data(), d.data()) == 0);
  d.y() += ulp;
  CHECK(incircle(a.data(), b.data(), c.data(), d.data()) > 0);
  d.y() -= 2 * ulp;
  CHECK(incircle(a.data(), b.data(), c.data(), d.data()) < 0);
}

TEST_CASE("incircle_plain: equals incircle for small integers") {
  double permanent;
  for (int seed = 0; seed < 200; ++seed) {
    const Rows p = (testing::normal_values(4, 2, unsigned(seed)) * 500).array().round();
    const double plain =
        incircle_plain(p.row(0).data(), p.row(1).data(), p.row(2).data(), p.row(3).data(), permanent);
    CHECK(sign(plain) == sign(incircle(p.row(0).data(), p.row(1).data(), p.row(2).data(), p.row(3).data())));
    CHECK(permanent >= std::abs(plain));
  }
}
