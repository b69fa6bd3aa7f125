#pragma once

#include <vector>

namespace facegeom {

//! The middle value; for an even number of values the mean of the two middle ones.
//! \param values (n,) finite
//! \pre there is at least one value
double median(std::vector<double> values);

//! The middle value; for an even number of values the larger of the two middle ones. Cheaper than median().
//! \param values (n,) finite; reordered
//! \return 0 for no values
double upper_median(std::vector<double>& values);

}  // namespace facegeom
