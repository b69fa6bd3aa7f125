#include "pybind.h"

#include "arguments.h"

#include <facegeom/depth_mesh.h>

void bind_depth_mesh(py::module_& m) {
  m.def(
      "depth_to_mesh",
      [](facegeom::RowsIn depth, facegeom::MaskIn mask, double scale, double origin_x, double origin_y,
         facegeom::Index vertex_count, bool background) {
        check_layout(depth, "depth");
        check_layout(mask, "mask");
        facegeom::DepthMesh mesh =
            facegeom::depth_to_mesh(depth, mask, {scale, origin_x, origin_y, vertex_count, background});
        return std::make_tuple(std::move(mesh.V), std::move(mesh.F), std::move(mesh.pixel));
      },
      py::arg("depth"), py::arg("mask"), py::arg("scale"), py::arg("origin_x"), py::arg("origin_y"),
      py::arg("vertex_count"), py::arg("background"), ReleaseGil(),
      "Mesh of the foreground of a depth map; returns V, F and pixel (n, 2).");
}
