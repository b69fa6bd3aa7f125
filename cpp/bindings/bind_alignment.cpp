#include "pybind.h"

#include "arguments.h"

#include <facegeom/alignment.h>

void bind_alignment(py::module_& m) {
  m.def(
      "register_affine",
      [](facegeom::PointsIn P, facegeom::PointsIn Q, bool similarity, facegeom::Index iterations,
         double threshold, std::uint64_t seed, facegeom::Index min_inliers) {
        check_values(P, "P");
        check_values(Q, "Q");
        check_number(threshold, "threshold");
        facegeom::RansacResult found = facegeom::ransac_alignment(
            P, Q, similarity ? facegeom::Alignment::kSimilarity : facegeom::Alignment::kAffine,
            {iterations, threshold, seed, min_inliers});
        const facegeom::Points linear = found.map.linear;
        return std::make_tuple(linear, facegeom::Vector(found.map.shift), std::move(found.inlier));
      },
      py::arg("P"), py::arg("Q"), py::arg("similarity"), py::arg("iterations"), py::arg("threshold"),
      py::arg("seed"), py::arg("min_inliers"), ReleaseGil(),
      "Alignment by RANSAC; returns linear (3, 3), shift (3,) and inlier (n,).");
}
