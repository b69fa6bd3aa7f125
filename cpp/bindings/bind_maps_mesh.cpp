#include "pybind.h"

#include "arguments.h"

#include <facegeom/maps_mesh.h>

void bind_maps_mesh(py::module_& m) {
  m.def(
      "maps_to_mesh",
      [](facegeom::PointsIn xyz, facegeom::MaskIn mask, facegeom::RowsIn embedding, double max_edge) {
        check_layout(xyz, "xyz");
        check_layout(mask, "mask");
        check_layout(embedding, "embedding");
        facegeom::MapsMesh mesh = facegeom::maps_to_mesh(xyz, mask, embedding, max_edge);
        return std::make_tuple(std::move(mesh.V), std::move(mesh.F), std::move(mesh.E),
                               std::move(mesh.pixel));
      },
      py::arg("xyz"), py::arg("mask"), py::arg("embedding"), py::arg("max_edge"), ReleaseGil(),
      "Mesh of the known pixels of a position map; returns V, F, E and pixel (n,).");
}
