#include <facegeom/displacement.h>
#include <facegeom/edge_matrix.h>
#include <facegeom/normals.h>

#include <algorithm>
#include <cmath>

namespace facegeom {

Points displace_along_normals(PointsIn V, FacesIn F, VectorIn signal, VectorIn weight, double gain,
                              double max_step) {
  const Index n = V.rows();
  if (signal.size() != n || weight.size() != n) {
    throw std::invalid_argument("signal and weight must have one entry per vertex");
  }
  if (!(max_step >= 0)) throw std::invalid_argument("max_step must be at least 0");
  const EdgeMatrix<char> edges =
      assemble_edges<char>(F, n, false, [](Index) { return std::array<char, 3>{}; });
  const Points N = vertex_normals(V, F);
  Points out = V;
  std::vector<double> lengths;
  for (Index i = 0; i < n; ++i) {
    const std::int32_t begin = edges.starts[i], end = edges.starts[i + 1];
    if (begin == end) continue;
    lengths.clear();
    double total = 0;
    for (std::int32_t s = begin; s < end; ++s) {
      lengths.push_back((V.row(edges.columns[s]) - V.row(i)).norm());
      total += lengths.back();
    }
    const double rate = total > 0 ? -double(end - begin) / total : 0;
    double sum = signal[i], weights = 1;
    for (std::int32_t s = begin; s < end; ++s) {
      const double a = std::exp(rate * lengths[std::size_t(s - begin)]);
      sum += a * signal[edges.columns[s]];
      weights += a;
    }
    const double step = std::clamp(gain * weight[i] * sum / weights, -max_step, max_step);
    out.row(i) += step * N.row(i);
  }
  return out;
}

}  // namespace facegeom
