#include <facegeom/registration/registration.h>
#include <facegeom/registration/solve.h>

namespace facegeom {

Registration register_nonrigid(const EmbeddedMesh& source, const EmbeddedMesh& target,
                               const RegistrationOptions& options, const Landmarks& landmarks,
                               VectorIn weights, const Progress& progress) {
  if (source.F.rows() == 0) throw std::invalid_argument("the template has no triangles");
  if (target.F.rows() == 0) throw std::invalid_argument("the target has no triangles");
  if (source.E.cols() != target.E.cols()) {
    throw std::invalid_argument("the embeddings must have the same number of coordinates");
  }
  const registration::Problem problem(source, target, options, landmarks, weights);
  Registration out = options.matching == Matching::kVertex ? registration::solve_by_vertex(problem, progress)
                     : source.E.cols() > 0 ? registration::solve_by_embedding(problem, progress)
                                           : registration::solve_by_shape(problem, progress);
  if (out.reason.empty()) out.reason = "the limit of iterations was reached";
  return out;
}

}  // namespace facegeom
