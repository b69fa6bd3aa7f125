#include "pybind.h"

#include "arguments.h"

#include <facegeom/closest_point.h>

#include <cmath>

namespace {

//! Work of a query, in units of facegeom::WorkCounter.
constexpr facegeom::Index kUnitsPerQuery = 1000;

}  // namespace

void bind_closest_point(py::module_& m) {
  m.def(
      "closest_points",
      [](facegeom::RowsIn V, facegeom::FacesIn F, facegeom::RowsIn queries) {
        check_values(V, "V");
        check_indices(F, V.rows(), "F");
        check_values(queries, "queries");
        const facegeom::TriangleTree tree(V, F);
        if (queries.cols() != tree.dimension()) {
          throw std::invalid_argument("queries and V must have the same dimension");
        }
        const facegeom::Index count = queries.rows();
        facegeom::Indices face(count);
        facegeom::Points weights(count, 3);
        facegeom::Vector distance(count);
        facegeom::Index hint = 0;
        facegeom::WorkCounter work;
        for (facegeom::Index i = 0; i < count; ++i) {
          work.add(kUnitsPerQuery);
          const facegeom::SurfacePoint found = tree.closest(queries.data() + i * queries.cols(), hint);
          face[i] = hint = found.face;
          for (int k = 0; k < 3; ++k) weights(i, k) = found.weight[k];
          distance[i] = std::sqrt(found.squared_distance);
        }
        return std::make_tuple(std::move(face), std::move(weights), std::move(distance));
      },
      py::arg("V"), py::arg("F"), py::arg("queries"), ReleaseGil(),
      "Closest points on triangles; returns face (q,), weights (q, 3) and distance (q,).");
}
