#include "pybind.h"

#include "arguments.h"

#include <facegeom/cleanup.h>

void bind_cleanup(py::module_& m) {
  m.def(
      "connected_components",
      [](facegeom::FacesIn F, facegeom::Index vertex_count) {
        check_vertex_count(vertex_count);
        check_indices(F, vertex_count, "F");
        return facegeom::connected_components(F, vertex_count);
      },
      py::arg("F"), py::arg("vertex_count"), ReleaseGil(),
      "Label of the connected component of each triangle (m,).");
  m.def(
      "remove_spikes",
      [](facegeom::PointsIn V, facegeom::FacesIn F, double area_factor, double edge_factor,
         double min_component) {
        check_mesh(V, F);
        check_number(area_factor, "area_factor");
        check_number(edge_factor, "edge_factor");
        check_number(min_component, "min_component");
        facegeom::Submesh kept = facegeom::remove_spikes(V, F, {area_factor, edge_factor, min_component});
        return std::make_tuple(std::move(kept.V), std::move(kept.F), std::move(kept.vertices));
      },
      py::arg("V"), py::arg("F"), py::arg("area_factor"), py::arg("edge_factor"), py::arg("min_component"),
      ReleaseGil(), "Remove outlying triangles and small components; returns V, F and the kept vertices.");
}
