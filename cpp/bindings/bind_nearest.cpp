#include "pybind.h"

#include "arguments.h"

#include <facegeom/nearest.h>

void bind_nearest(py::module_& m) {
  py::class_<facegeom::PointTree>(m, "PointTree", "k-d tree for exact nearest neighbours.")
      .def(py::init([](facegeom::RowsIn points) {
             check_values(points, "points");
             return std::make_unique<facegeom::PointTree>(points);
           }),
           py::arg("points"), ReleaseGil())
      .def(
          "nearest",
          [](const facegeom::PointTree& tree, facegeom::RowsIn queries) {
            check_values(queries, "queries");
            facegeom::Nearest found = tree.nearest(queries);
            return std::make_tuple(std::move(found.index), std::move(found.distance));
          },
          py::arg("queries"), ReleaseGil(), "Index (q,) and distance (q,) of the nearest point.");
}
