#include "pybind.h"

#include <facegeom/smoothing.h>

void bind_smoothing(py::module_& m) {
  m.def("laplacian_smooth", &facegeom::laplacian_smooth, py::arg("V"), py::arg("F"), py::arg("iterations"),
        py::arg("step"), py::arg("fix_boundary"), ReleaseGil(),
        "Uniform Laplacian smoothing; returns (n, 3).");
  m.def("heat_smooth", &facegeom::heat_smooth, py::arg("V"), py::arg("F"), py::arg("values"), py::arg("time"),
        py::arg("tolerance"), ReleaseGil(), "Diffuse values (n, k) by one implicit Euler step.");
  py::class_<facegeom::MeshSolver>(m, "MeshSolver",
                                   "Diffusion by implicit Euler steps on one mesh, factorised once.")
      .def(py::init<facegeom::PointsIn, facegeom::FacesIn, double>(), py::arg("V"), py::arg("F"),
           py::arg("time"), ReleaseGil())
      .def("smooth", &facegeom::MeshSolver::smooth, py::arg("values"), ReleaseGil(),
           "Diffuse values (n, k).");
}
