#include <facegeom/registration/registration.h>
#include <facegeom/registration/solve.h>
#include <facegeom/registration/stop.h>
#include <facegeom/registration/weld.h>

#include <algorithm>

namespace facegeom {

namespace {

using registration::WeldedMesh;

//! Landmarks of the welded template.
Landmarks moved_to(const WeldedMesh& welded, Landmarks landmarks) {
  for (Index& vertex : landmarks.vertex) {
    vertex = welded.place(vertex);
    if (vertex < 0) throw std::invalid_argument("every landmark must be a vertex of a triangle");
  }
  return landmarks;
}

//! Weights of the welded template: the largest of the weights at a position.
Vector moved_to(const WeldedMesh& welded, VectorIn weights) {
  Vector out = Vector::Zero(welded.size());
  for (Index i = 0; i < weights.size(); ++i) {
    const Index vertex = welded.place(i);
    if (vertex >= 0) out[vertex] = std::max(out[vertex], weights[i]);
  }
  return out;
}

//! The result for all vertices of the original template.
Registration moved_back(const WeldedMesh& source, const WeldedMesh& target, PointsIn V,
                        Registration&& found) {
  if (!source.changed() && !target.changed()) return std::move(found);
  Registration out = found;
  const Index n = V.rows();
  out.V = found.alignment.apply(V);
  out.match = Indices::Constant(n, -1);
  out.kind = Eigen::Matrix<std::int32_t, -1, 1>::Zero(n);
  for (Index i = 0; i < n; ++i) {
    const Index vertex = source.place(i);
    if (vertex < 0) continue;
    out.V.row(i) = found.V.row(vertex);
    out.match[i] = found.match[vertex] < 0 ? -1 : target.origin(found.match[vertex]);
    out.kind[i] = found.kind[vertex];
  }
  return out;
}

}  // namespace

Registration register_nonrigid(const EmbeddedMesh& source, const EmbeddedMesh& target,
                               const RegistrationOptions& options, const Landmarks& landmarks,
                               VectorIn weights, const Progress& progress) {
  if (source.F.rows() == 0) throw std::invalid_argument("the template has no triangles");
  if (target.F.rows() == 0) throw std::invalid_argument("the target has no triangles");
  if (source.E.rows() != source.V.rows() || target.E.rows() != target.V.rows()) {
    throw std::invalid_argument("the embeddings must have one row per vertex");
  }
  if (weights.size() != source.V.rows())
    throw std::invalid_argument("weights must have one entry per vertex");
  if (landmarks.place.rows() != landmarks.vertex.size() ||
      landmarks.weight.size() != landmarks.vertex.size()) {
    throw std::invalid_argument("the landmarks must have one vertex, place and weight each");
  }
  if (source.E.cols() != target.E.cols()) {
    throw std::invalid_argument("the embeddings must have the same number of coordinates");
  }
  const WeldedMesh welded_source(source), welded_target(target);
  const EmbeddedMesh from = welded_source.mesh(), to = welded_target.mesh();
  const Landmarks marks = moved_to(welded_source, landmarks);
  const Vector match_weights = moved_to(welded_source, weights);
  const registration::Problem problem(from, to, options, marks, match_weights);
  Registration out = options.matching == Matching::kVertex ? registration::solve_by_vertex(problem, progress)
                     : from.E.cols() > 0 ? registration::solve_by_embedding(problem, progress)
                                         : registration::solve_by_shape(problem, progress);
  if (out.reason.empty()) out.reason = "the limit of iterations was reached";
  registration::check_landmarks(problem, out);
  if (!out.V.allFinite()) throw SolverError("the result is not finite: the meshes are too distorted");
  return moved_back(welded_source, welded_target, source.V, std::move(out));
}

}  // namespace facegeom
