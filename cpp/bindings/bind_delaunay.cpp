#include "pybind.h"

#include <facegeom/delaunay.h>

void bind_delaunay(py::module_& m) {
  m.def("delaunay", &facegeom::delaunay, py::arg("points"), ReleaseGil(),
        "Planar Delaunay triangulation; returns triangles (m, 3).");
}
