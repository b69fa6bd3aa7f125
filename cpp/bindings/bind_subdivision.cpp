#include "pybind.h"

#include "arguments.h"

#include <facegeom/subdivision.h>

void bind_subdivision(py::module_& m) {
  py::enum_<facegeom::SubdivisionScheme>(m, "SubdivisionScheme",
                                         "Positions of the vertices that subdivide returns.")
      .value("midpoint", facegeom::SubdivisionScheme::kMidpoint)
      .value("loop", facegeom::SubdivisionScheme::kLoop);
  m.def(
      "subdivide",
      [](facegeom::PointsIn V, facegeom::FacesIn F, facegeom::SubdivisionScheme scheme) {
        check_mesh(V, F);
        facegeom::Subdivision out = facegeom::subdivide(V, F, scheme);
        return std::make_tuple(std::move(out.V), std::move(out.F), std::move(out.parents));
      },
      py::arg("V"), py::arg("F"), py::arg("scheme"), ReleaseGil(),
      "Divide every triangle into four; returns V, F and the parents of each vertex.");
}
