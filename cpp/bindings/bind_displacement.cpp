#include "pybind.h"

#include "arguments.h"

#include <facegeom/displacement.h>

void bind_displacement(py::module_& m) {
  m.def(
      "displace_along_normals",
      [](facegeom::PointsIn V, facegeom::FacesIn F, facegeom::VectorIn signal, facegeom::VectorIn weight,
         double gain, double max_step) {
        check_mesh(V, F);
        check_values(signal, "signal");
        check_values(weight, "weight");
        check_number(gain, "gain");
        return facegeom::displace_along_normals(V, F, signal, weight, gain, max_step);
      },
      py::arg("V"), py::arg("F"), py::arg("signal"), py::arg("weight"), py::arg("gain"), py::arg("max_step"),
      ReleaseGil(), "Move vertices along their normals by the one-ring mean of a signal; returns (n, 3).");
  m.def(
      "displace_by_shading",
      [](facegeom::PointsIn V, facegeom::FacesIn F, facegeom::VectorIn intensity, facegeom::VectorIn weight,
         double time, double gain, double max_step, bool attenuate) {
        check_mesh(V, F);
        check_values(intensity, "intensity");
        check_values(weight, "weight");
        check_number(gain, "gain");
        return facegeom::displace_by_shading(V, F, intensity, weight, {time, gain, max_step, attenuate});
      },
      py::arg("V"), py::arg("F"), py::arg("intensity"), py::arg("weight"), py::arg("time"), py::arg("gain"),
      py::arg("max_step"), py::arg("attenuate"), ReleaseGil(),
      "Move vertices along their normals by the fine detail of an intensity; returns (n, 3).");
}
