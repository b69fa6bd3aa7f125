#pragma once

#include <vector>

namespace facegeom {

//! The median: the middle value; for an even number of values, the mean of the two middle values.
//! \param values (n,) finite
//! \pre there is at least one value
double median(std::vector<double> values);

//! The upper median: for an even number of values, the larger of the two middle values. Faster than median().
//! \param values (n,) finite; reordered
//! \return 0 for no values
double upper_median(std::vector<double>& values);

}  // namespace facegeom
