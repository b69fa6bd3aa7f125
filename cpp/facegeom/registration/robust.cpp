#include <facegeom/registration/robust.h>
#include <facegeom/statistics.h>

#include <algorithm>

namespace facegeom::registration {

double robust_scale(std::vector<double> squares, double multiple, double floor, double unit_median) {
  return std::max(multiple * upper_median(squares) / unit_median, floor);
}

}  // namespace facegeom::registration
