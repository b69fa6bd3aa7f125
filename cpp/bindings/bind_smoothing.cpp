#include "pybind.h"

#include "arguments.h"

#include <facegeom/smoothing.h>

void bind_smoothing(py::module_& m) {
  m.def(
      "laplacian_smooth",
      [](facegeom::PointsIn V, facegeom::FacesIn F, int iterations, double step, bool fix_boundary) {
        check_mesh(V, F);
        return facegeom::laplacian_smooth(V, F, iterations, step, fix_boundary);
      },
      py::arg("V"), py::arg("F"), py::arg("iterations"), py::arg("step"), py::arg("fix_boundary"),
      ReleaseGil(), "Uniform Laplacian smoothing; returns (n, 3).");
  m.def(
      "heat_smooth",
      [](facegeom::PointsIn V, facegeom::FacesIn F, facegeom::RowsIn values, double time, double tolerance) {
        check_mesh(V, F);
        check_values(values, "values");
        return facegeom::heat_smooth(V, F, values, time, tolerance);
      },
      py::arg("V"), py::arg("F"), py::arg("values"), py::arg("time"), py::arg("tolerance"), ReleaseGil(),
      "Diffuse values (n, k) by one implicit Euler step.");
  py::class_<facegeom::MeshSolver>(m, "MeshSolver",
                                   "Diffusion by implicit Euler steps on one mesh, factorised once.")
      .def(py::init([](facegeom::PointsIn V, facegeom::FacesIn F, double time) {
             check_mesh(V, F);
             return std::make_unique<facegeom::MeshSolver>(V, F, time);
           }),
           py::arg("V"), py::arg("F"), py::arg("time"), ReleaseGil())
      .def(
          "smooth",
          [](const facegeom::MeshSolver& solver, facegeom::RowsIn values) {
            check_values(values, "values");
            return solver.smooth(values);
          },
          py::arg("values"), ReleaseGil(), "Diffuse values (n, k).");
}
