#include "pybind.h"

#include "arguments.h"

#include <facegeom/delaunay.h>

void bind_delaunay(py::module_& m) {
  m.def(
      "delaunay",
      [](facegeom::Points2In points) {
        check_values(points, "points");
        return facegeom::delaunay(points);
      },
      py::arg("points"), ReleaseGil(), "Planar Delaunay triangulation; returns triangles (m, 3).");
}
