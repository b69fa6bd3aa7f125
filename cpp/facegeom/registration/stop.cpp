#include <facegeom/registration/stop.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace facegeom::registration {

namespace {

//! Minimum robust weight of a match; a correspondence with a lower weight is an outlier.
constexpr double kMinRobustWeight = 0.1;
//! Maximum distance of a landmark from its place, as a share of the diagonal of the deformed template; 1 cm
//! for a face.
constexpr double kMaxLandmarkShare = 0.05;

}  // namespace

bool record_step(const Problem& problem, const Progress& progress, RegistrationStep step, State& state,
                 DeformationSystem& system, Registration& out) {
  for (const Correspondence& pair : state.correspondences) {
    const Eigen::Vector3d r = value_at(pair, state.X, problem.source.F) - pair.target_point;
    const double offset = pair.target_normal.dot(r), weight = pair.weight();
    step.point_energy += weight * r.squaredNorm();
    step.plane_energy += weight * offset * offset;
  }
  step.thin_plate_energy = system.thin_plate_energy(state.X);
  step.motion = (state.X - state.previous).norm() / std::sqrt(double(problem.size()));
  state.previous = state.X;
  out.history.push_back(step);
  if (progress && !progress(step)) {
    out.reason = "cancelled by the progress callback";
    return false;
  }
  return true;
}

void converge(const char* reason, Registration& out) {
  out.converged = true;
  out.reason = reason;
}

void check_landmarks(const Problem& problem, Registration& out) {
  const Landmarks& landmarks = problem.landmarks;
  double farthest = 0;
  for (Index k = 0; k < landmarks.vertex.size(); ++k) {
    farthest = std::max(farthest, (out.V.row(landmarks.vertex[k]) - landmarks.place.row(k)).norm());
  }
  const double diagonal = (out.V.colwise().maxCoeff() - out.V.colwise().minCoeff()).norm();
  if (!out.converged || farthest <= kMaxLandmarkShare * diagonal) return;
  std::ostringstream message;
  message << "a landmark is " << farthest << " from its place";
  out.converged = false;
  out.reason = message.str();
}

void store_result(const Problem& problem, const State& state, MatchKind kind, Registration& out) {
  const Index n = problem.size();
  out.V = state.X;
  out.match = Indices::Constant(n, -1);
  out.kind = Eigen::Matrix<std::int32_t, -1, 1>::Zero(n);
  Vector largest = Vector::Zero(n);
  for (const Correspondence& pair : state.correspondences) {
    if (pair.robust < kMinRobustWeight) continue;
    const double weight = pair.face < 0 ? 1 : *std::max_element(pair.barycentric, pair.barycentric + 3);
    if (weight <= largest[pair.vertex]) continue;
    largest[pair.vertex] = weight;
    out.match[pair.vertex] = pair.target_vertex;
    out.kind[pair.vertex] = std::int32_t(kind);
  }
}

}  // namespace facegeom::registration
