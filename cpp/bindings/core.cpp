#include "pybind.h"

void bind_alignment(py::module_& m);
void bind_cleanup(py::module_& m);
void bind_closest_point(py::module_& m);
void bind_delaunay(py::module_& m);
void bind_depth_mesh(py::module_& m);
void bind_displacement(py::module_& m);
void bind_interpolation(py::module_& m);
void bind_laplacian(py::module_& m);
void bind_maps_mesh(py::module_& m);
void bind_nearest(py::module_& m);
void bind_normals(py::module_& m);
void bind_raster(py::module_& m);
void bind_registration(py::module_& m);
void bind_smoothing(py::module_& m);
void bind_subdivision(py::module_& m);

PYBIND11_MODULE(_core, m) {
  m.doc() = "Compiled core of facegeom; use facegeom.geometry, which checks the arguments.";
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const facegeom::SolverError& error) {
      py::set_error(py::module_::import("facegeom.errors").attr("SolverError"), error.what());
    }
  });
  bind_alignment(m);
  bind_cleanup(m);
  bind_closest_point(m);
  bind_delaunay(m);
  bind_depth_mesh(m);
  bind_displacement(m);
  bind_interpolation(m);
  bind_laplacian(m);
  bind_maps_mesh(m);
  bind_nearest(m);
  bind_normals(m);
  bind_raster(m);
  bind_registration(m);
  bind_smoothing(m);
  bind_subdivision(m);
}
