#include <facegeom/registration/robust.h>

#include <algorithm>

namespace facegeom::registration {

double upper_median(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double robust_scale(std::vector<double> squares, double multiple, double floor, double unit_median) {
  return std::max(multiple * upper_median(squares) / unit_median, floor);
}

}  // namespace facegeom::registration
