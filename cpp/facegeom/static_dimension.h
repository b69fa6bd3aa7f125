#pragma once

#include <facegeom/types.h>

#include <type_traits>

namespace facegeom {

//! Call an action with a dimension that is known at compile time.
//! \param dimension from 1 to 8
//! \param action called as action(std::integral_constant<int, dimension>())
//! \return what the action returns
//! \throw std::invalid_argument unless 1 <= dimension <= 8
template <class Action>
auto with_static_dimension(Index dimension, const Action& action) {
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
