#pragma once

#include <vector>

namespace facegeom::registration {

//! Medians of the chi-squared distribution with 1, 2 and 3 degrees of freedom. The median of squared
//! residuals divided by this median estimates the variance of the residuals.
constexpr double kChiSquaredMedian1 = 0.455;
constexpr double kChiSquaredMedian2 = 1.386;
constexpr double kChiSquaredMedian3 = 2.366;

//! Scale of the Geman-McClure weight: a multiple of the median of the squared residuals, but not less than a
//! floor.
//! \param squares squared residuals
//! \param multiple factor on the median
//! \param floor minimum scale
//! \param unit_median median of the squared residuals where their variance is 1; the median is divided by it
double robust_scale(std::vector<double> squares, double multiple, double floor, double unit_median = 1);

//! Geman-McClure weight (scale / (scale + square))^2, times a prior weight. \cite geman1987statistical
//! \param square squared residual
//! \param scale above 0, in the unit of square; a residual of this square has the weight 1/4
//! \param prior weight of a residual of 0
inline double geman_mcclure_weight(double square, double scale, double prior = 1) {
  const double share = scale / (scale + square);
  return prior * share * share;
}

}  // namespace facegeom::registration
