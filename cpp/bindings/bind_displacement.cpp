#include "pybind.h"

#include <facegeom/displacement.h>

void bind_displacement(py::module_& m) {
  m.def("displace_along_normals", &facegeom::displace_along_normals, py::arg("V"), py::arg("F"),
        py::arg("signal"), py::arg("weight"), py::arg("gain"), py::arg("max_step"), ReleaseGil(),
        "Move vertices along their normals by the one-ring mean of a signal; returns (n, 3).");
}
