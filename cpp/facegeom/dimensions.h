#pragma once

#include <facegeom/types.h>

#include <algorithm>
#include <type_traits>

namespace facegeom {

//! Never above the squared distance to any point of the box: the same sum of differences that are no greater.
//! \param box lower, then upper corner
template <int D>
double squared_distance_to_box(const double* q, const double* box) {
  double sum = 0;
  for (int k = 0; k < D; ++k) {
    const double outside = std::max({box[k] - q[k], q[k] - box[D + k], 0.0});
    sum += outside * outside;
  }
  return sum;
}

//! Returns action(std::integral_constant<int, dimension>).
//! \throw std::invalid_argument unless 1 <= dimension <= 8
template <class Action>
auto with_dimension(Index dimension, const Action& action) {
  switch (dimension) {
    case 1:
      return action(std::integral_constant<int, 1>());
    case 2:
      return action(std::integral_constant<int, 2>());
    case 3:
      return action(std::integral_constant<int, 3>());
    case 4:
      return action(std::integral_constant<int, 4>());
    case 5:
      return action(std::integral_constant<int, 5>());
    case 6:
      return action(std::integral_constant<int, 6>());
    case 7:
      return action(std::integral_constant<int, 7>());
    case 8:
      return action(std::integral_constant<int, 8>());
    default:
      throw std::invalid_argument("points must have 1 to 8 coordinates");
  }
}

}  // namespace facegeom
