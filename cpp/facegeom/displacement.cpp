#include <facegeom/boundary.h>
#include <facegeom/displacement.h>
#include <facegeom/edge_matrix.h>
#include <facegeom/interrupt.h>
#include <facegeom/laplacian.h>
#include <facegeom/normals.h>
#include <facegeom/smoothing.h>
#include <facegeom/triangle.h>

#include <algorithm>
#include <cmath>

namespace facegeom {

namespace {

constexpr double kEta = 0.2;         // weight eta of eq. 14, value of the paper
constexpr double kFairing = 0.5;     // fraction of the way to the mean of the neighbours
constexpr double kTolerance = 1e-6;  // relative tolerance of the solve of the diffusion
constexpr double kMinCosine = 0.5;   // cosine of the largest angle by which a triangle may turn, 60 degrees
constexpr Index kUnitsPerVertex = 100;  // work of a vertex and its neighbours, see WorkCounter
constexpr int kMaxHalvings = 6;         // maximum number of halvings; the next one sets a step to 0

//! Intensity minus its diffusion; 0 where the weight is 0.
Vector high_pass(PointsIn V, FacesIn F, VectorIn intensity, VectorIn weight, double time) {
  const Index n = V.rows();
  // The diffusion is normalised by the diffused indicator of the known vertices. Subtracting one of the
  // intensities first keeps a constant image exact.
  Rows heat = Rows::Zero(n, 2);
  double level = 0;
  bool any = false;
  for (Index i = 0; i < n; ++i) {
    if (!(weight[i] > 0)) continue;
    if (!any) level = intensity[i];
    any = true;
    heat.row(i) << intensity[i] - level, 1;
  }
  if (!any) return Vector::Zero(n);
  const Rows low = heat_smooth(V, F, heat, time, kTolerance);
  Vector mu = Vector::Zero(n);
  for (Index i = 0; i < n; ++i) {
    if (weight[i] > 0 && low(i, 1) > 0) mu[i] = heat(i, 0) - low(i, 0) / low(i, 1);
  }
  return mu;
}

//! Whether a triangle turns too far or becomes degenerate.
bool spoiled(const Triangle& before, const Triangle& after) {
  if (before.degenerate()) return false;
  if (after.degenerate()) return true;
  const double lengths = std::sqrt(before.area_normal.squared() * after.area_normal.squared());
  return before.area_normal.dot(after.area_normal) < kMinCosine * lengths;
}

//! V moved by the steps along N. Steps at triangles that would fold are reduced in place.
Points moved_without_folds(PointsIn V, FacesIn F, const Points& N, Vector& step) {
  Points out(V.rows(), 3);
  std::vector<int> halvings(std::size_t(V.rows()), 0);
  std::vector<char> hold(std::size_t(V.rows()), 0);
  for (bool reduced = true; reduced;) {
    poll_interrupt();
    for (Index i = 0; i < V.rows(); ++i) out.row(i) = V.row(i) + step[i] * N.row(i);
    for (Index f = 0; f < F.rows(); ++f) {
      const Index* const face = F.data() + 3 * f;
      if (!spoiled(Triangle(V.data(), face), Triangle(out.data(), face))) continue;
      for (int k = 0; k < 3; ++k) hold[std::size_t(face[k])] = 1;
    }
    reduced = false;
    for (std::size_t i = 0; i < hold.size(); ++i) {
      if (hold[i] && step[Index(i)] != 0) {
        step[Index(i)] = ++halvings[i] < kMaxHalvings ? 0.5 * step[Index(i)] : 0;
        reduced = true;
      }
      hold[i] = 0;
    }
  }
  return out;
}

}  // namespace

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
  WorkCounter work;
  for (Index i = 0; i < n; ++i) {
    work.add(kUnitsPerVertex);
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

Points displace_by_shading(PointsIn V, FacesIn F, VectorIn intensity, VectorIn weight,
                           const ShadingOptions& options) {
  const Index n = V.rows();
  if (intensity.size() != n || weight.size() != n) {
    throw std::invalid_argument("intensity and weight must have one entry per vertex");
  }
  if (!(options.max_step >= 0)) throw std::invalid_argument("max_step must be at least 0");
  const Vector mu = high_pass(V, F, intensity, weight, options.time);
  const Csr L = cotangent_laplacian(V, F);
  const Points N = vertex_normals(V, F);
  const std::vector<char> boundary = boundary_vertices(F, n);
  Vector step = Vector::Zero(n);
  WorkCounter work;
  for (Index i = 0; i < n; ++i) {
    work.add(kUnitsPerVertex);
    double rise = 0, weights = 0, fairing = 0, cotangents = 0;
    for (std::int32_t s = L.starts[i]; s < L.starts[i + 1]; ++s) {
      const Index j = L.columns[s];
      if (j == i) continue;
      const Eigen::Vector3d edge = V.row(i) - V.row(j);
      const double height = edge.dot(N.row(i)), length = edge.norm();
      const double cotangent = std::max(0.0, -L.values[s]);
      fairing -= cotangent * height;
      cotangents += cotangent;
      if (!(weight[i] > 0 && weight[j] > 0 && length > 0)) continue;
      const double a = std::exp(-length), contrast = options.gain * (mu[i] - mu[j]);
      rise += a * (options.attenuate ? contrast * (1 - std::abs(height) / length) : contrast - height);
      weights += a;
    }
    if (weights > 0) step[i] += kEta * weight[i] * rise / weights;
    if (cotangents > 0 && !boundary[std::size_t(i)]) step[i] += (1 - kEta) * kFairing * fairing / cotangents;
    step[i] = std::clamp(step[i], -options.max_step, options.max_step);
  }
  return moved_without_folds(V, F, N, step);
}

}  // namespace facegeom
