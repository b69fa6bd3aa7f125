#include <facegeom/boundary.h>
#include <facegeom/normals.h>
#include <facegeom/registration/state.h>

#include <algorithm>

namespace facegeom::registration {

double mean_edge_length(RowsIn P, FacesIn F) {
  double sum = 0;
  for (Index f = 0; f < F.rows(); ++f) {
    for (int k = 0; k < 3; ++k) sum += (P.row(F(f, k)) - P.row(F(f, (k + 1) % 3))).norm();
  }
  return sum / double(std::max<Index>(1, 3 * F.rows()));
}

Problem::Problem(const EmbeddedMesh& source_mesh, const EmbeddedMesh& target_mesh,
                 const RegistrationOptions& given_options, const Landmarks& given_landmarks,
                 VectorIn vertex_weights)
    : source(source_mesh),
      target(target_mesh),
      options(given_options),
      landmarks(given_landmarks),
      weights(vertex_weights),
      target_N(vertex_normals(target.V, target.F)),
      source_boundary(boundary_vertices(source.F, source.V.rows())),
      embedding_edge(mean_edge_length(source.E, source.F)) {}

TargetSurface::TargetSurface(const EmbeddedMesh& target)
    : tree(target.V, target.F), boundary(boundary_vertices(target.F, target.V.rows())) {}

void set_positions(const Problem& problem, const Points& X, State& state) {
  state.X = X;
  state.N = vertex_normals(state.X, problem.source.F);
}

}  // namespace facegeom::registration
