#include <facegeom/statistics.h>

#include <algorithm>

namespace facegeom {

double median(std::vector<double> values) {
  const double upper = upper_median(values);
  if (values.size() % 2) return upper;
  // upper_median leaves the smaller values in the first half.
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  return (upper + *std::max_element(values.begin(), middle)) / 2;
}

double upper_median(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace facegeom
