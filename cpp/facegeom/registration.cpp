#include <facegeom/normals.h>
#include <facegeom/registrar.h>

#include <algorithm>
#include <cmath>

namespace facegeom {

bool on_border(const SurfacePoint& point, FacesIn F, const std::vector<char>& border) {
  bool edge = false;
  for (int k = 0; k < 3; ++k) {
    if (point.weight[k] < 1e-9) {
      edge = true;
    } else if (!border[std::size_t(F(point.face, k))]) {
      return false;
    }
  }
  return edge;
}

double median(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Symmetric3 spread(double a, double b, const Eigen::Vector3d& n) {
  return {a + b * n[0] * n[0], b * n[0] * n[1], b * n[0] * n[2],
          a + b * n[1] * n[1], b * n[1] * n[2], a + b * n[2] * n[2]};
}

Alignment alignment_of(StartAlignment start) {
  return start == StartAlignment::kAffine       ? Alignment::kAffine
         : start == StartAlignment::kSimilarity ? Alignment::kSimilarity
                                                : Alignment::kRigid;
}

//! Energy terms without their weights.
void Registrar::measure(RegistrationStep& step) {
  for (const Pair& pair : pairs_) {
    const Eigen::Vector3d r = point(pair) - pair.place;
    const double off = pair.normal.dot(r), weight = pair.prior * pair.use;
    step.point_energy += weight * r.squaredNorm();
    step.plane_energy += weight * off * off;
  }
  step.membrane_energy = system_->membrane_energy(X_);
}

//! Notes the step; false if the caller wants to stop.
bool Registrar::finish_step(RegistrationStep step) {
  step.motion = (X_ - before_).norm() / std::sqrt(double(n_));
  before_ = X_;
  out_.history.push_back(step);
  if (progress_ && !progress_(step)) {
    out_.reason = "cancelled by the progress callback";
    return false;
  }
  return true;
}

//! For each template vertex the target vertex of the pair that lies closest to it.
void Registrar::record_matches(MatchKind kind) {
  Vector best = Vector::Zero(n_);
  for (const Pair& pair : pairs_) {
    if (pair.use < 0.1) continue;
    const double weight = pair.face < 0 ? 1 : *std::max_element(pair.weight, pair.weight + 3);
    if (weight <= best[pair.vertex]) continue;
    best[pair.vertex] = weight;
    out_.match[pair.vertex] = pair.target;
    out_.kind[pair.vertex] = std::int32_t(kind);
  }
}

Registration register_nonrigid(const EmbeddedMesh& source, const EmbeddedMesh& target,
                               const RegistrationOptions& options, const Landmarks& landmarks,
                               VectorIn weights, const Progress& progress) {
  if (source.F.rows() == 0) throw std::invalid_argument("the template has no triangles");
  if (target.F.rows() == 0) throw std::invalid_argument("the target has no triangles");
  if (source.E.cols() != target.E.cols()) {
    throw std::invalid_argument("the embeddings must have the same number of coordinates");
  }
  Registrar registrar(source, target, options, landmarks, weights, progress);
  Registration out = options.matching == Matching::kVertex ? registrar.by_vertices()
                     : source.E.cols() > 0                 ? registrar.by_embedded_surface()
                                                           : registrar.by_surface();
  if (out.reason.empty()) out.reason = "the limit of iterations was reached";
  return out;
}

}  // namespace facegeom
