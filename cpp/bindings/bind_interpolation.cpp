#include "pybind.h"

#include "arguments.h"

#include <facegeom/interpolation.h>

void bind_interpolation(py::module_& m) {
  m.def(
      "biharmonic_interpolation",
      [](facegeom::PointsIn V, facegeom::FacesIn F, facegeom::RowsIn values, facegeom::VectorIn weight,
         double length, double decay) {
        check_mesh(V, F);
        check_values(values, "values");
        check_values(weight, "weight");
        return facegeom::biharmonic_interpolation(V, F, values, weight, length, decay);
      },
      py::arg("V"), py::arg("F"), py::arg("values"), py::arg("weight"), py::arg("length"), py::arg("decay"),
      ReleaseGil(), "Smooth interpolation of known values over the surface; returns (n, k).");
}
