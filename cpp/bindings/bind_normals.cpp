#include "pybind.h"

#include "arguments.h"

#include <facegeom/normals.h>

void bind_normals(py::module_& m) {
  m.def(
      "face_normals",
      [](facegeom::PointsIn V, facegeom::FacesIn F) {
        check_mesh(V, F);
        return facegeom::face_normals(V, F);
      },
      py::arg("V"), py::arg("F"), ReleaseGil(), "Unit normals of triangles (m, 3).");
  m.def(
      "vertex_normals",
      [](facegeom::PointsIn V, facegeom::FacesIn F) {
        check_mesh(V, F);
        return facegeom::vertex_normals(V, F);
      },
      py::arg("V"), py::arg("F"), ReleaseGil(), "Area-weighted unit normals of vertices (n, 3).");
}
