#include "pybind.h"

#include "arguments.h"

#include <facegeom/raster.h>

void bind_raster(py::module_& m) {
  m.def(
      "rasterize",
      [](facegeom::PointsIn V, facegeom::FacesIn F, facegeom::RowsIn attributes, facegeom::Index height,
         facegeom::Index width) {
        check_mesh(V, F);
        check_values(attributes, "attributes");
        facegeom::Raster raster = facegeom::rasterize(V, F, attributes, height, width);
        return std::make_tuple(std::move(raster.attributes), std::move(raster.depth),
                               std::move(raster.triangle));
      },
      py::arg("V"), py::arg("F"), py::arg("attributes"), py::arg("height"), py::arg("width"), ReleaseGil(),
      "Z-buffer rasterisation; returns attributes (h*w, k), depth (h*w,) and triangle (h*w,).");
}
