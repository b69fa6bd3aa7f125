#include "pybind.h"

#include <facegeom/interpolation.h>

void bind_interpolation(py::module_& m) {
  m.def("biharmonic_interpolation", &facegeom::biharmonic_interpolation, py::arg("V"), py::arg("F"),
        py::arg("values"), py::arg("weight"), py::arg("length"), py::arg("decay"), ReleaseGil(),
        "Smooth interpolation of known values over the surface; returns (n, k).");
}
