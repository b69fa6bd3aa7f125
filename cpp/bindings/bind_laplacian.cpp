#include "pybind.h"

#include "arguments.h"

#include <facegeom/laplacian.h>

namespace {

auto as_tuple(facegeom::Csr&& A) {
  return std::make_tuple(std::move(A.starts), std::move(A.columns), std::move(A.values));
}

}  // namespace

void bind_laplacian(py::module_& m) {
  m.def(
      "uniform_laplacian",
      [](facegeom::FacesIn F, facegeom::Index n) {
        check_vertex_count(n);
        check_indices(F, n, "F");
        return as_tuple(facegeom::uniform_laplacian(F, n));
      },
      py::arg("F"), py::arg("n"), ReleaseGil(), "Graph Laplacian; returns indptr, indices, data.");
  m.def(
      "cotangent_laplacian",
      [](facegeom::PointsIn V, facegeom::FacesIn F) {
        check_mesh(V, F);
        return as_tuple(facegeom::cotangent_laplacian(V, F));
      },
      py::arg("V"), py::arg("F"), ReleaseGil(), "Cotangent Laplacian; returns indptr, indices, data.");
  m.def(
      "mass_matrix",
      [](facegeom::PointsIn V, facegeom::FacesIn F) {
        check_mesh(V, F);
        return facegeom::mass_matrix(V, F);
      },
      py::arg("V"), py::arg("F"), ReleaseGil(), "Mixed Voronoi areas (n,).");
  m.def(
      "mean_curvature_normals",
      [](facegeom::PointsIn V, facegeom::FacesIn F) {
        check_mesh(V, F);
        return facegeom::mean_curvature_normals(V, F);
      },
      py::arg("V"), py::arg("F"), ReleaseGil(), "Mean curvature normals (n, 3).");
  m.def(
      "multiply",
      [](facegeom::SlotsIn indptr, facegeom::SlotsIn indices, facegeom::VectorIn data, facegeom::RowsIn x) {
        check_layout(indptr, "indptr");
        check_layout(indices, "indices");
        check_values(data, "data");
        check_values(x, "x");
        return facegeom::multiply(indptr, indices, data, x);
      },
      py::arg("indptr"), py::arg("indices"), py::arg("data"), py::arg("x"), ReleaseGil(),
      "Product of a matrix in compressed rows with the columns of x.");
}
