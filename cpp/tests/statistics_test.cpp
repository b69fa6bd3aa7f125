#include "helpers.h"

#include <facegeom/statistics.h>
#include <facegeom/union_find.h>

#include <algorithm>

using namespace facegeom;

TEST_CASE("median: middle value, or mean of the two middle values") {
  CHECK(median({3}) == 3);
  CHECK(median({5, 1, 3}) == 3);
  CHECK(median({4, 1, 3, 2}) == 2.5);
}

TEST_CASE("upper_median: larger of the two middle values; the values are only reordered") {
  std::vector<double> odd{5, 1, 3}, even{4, 1, 3, 2}, none;
  CHECK(upper_median(odd) == 3);
  CHECK(upper_median(even) == 3);
  CHECK(upper_median(none) == 0);
  std::sort(even.begin(), even.end());
  CHECK(even == std::vector<double>{1, 2, 3, 4});
}

TEST_CASE("UnionFind: the smallest element represents its set") {
  UnionFind sets(6);
  for (Index i = 0; i < 6; ++i) CHECK(sets.find(i) == i);
  sets.join(5, 3);
  sets.join(4, 2);
  sets.join(5, 4);
  for (const Index i : {2, 3, 4, 5}) CHECK(sets.find(i) == 2);
  CHECK(sets.find(0) == 0);
  CHECK(sets.find(1) == 1);
}
