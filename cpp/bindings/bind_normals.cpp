#include "pybind.h"

#include <facegeom/normals.h>

void bind_normals(py::module_& m) {
  m.def("face_normals", &facegeom::face_normals, py::arg("V"), py::arg("F"), ReleaseGil(),
        "Unit normals of triangles (m, 3).");
  m.def("vertex_normals", &facegeom::vertex_normals, py::arg("V"), py::arg("F"), ReleaseGil(),
        "Area-weighted unit normals of vertices (n, 3).");
}
