#pragma once

#include <facegeom/nearest.h>
#include <facegeom/registration/state.h>

namespace facegeom::registration {

//! Whether a projected point lies on the boundary of the mesh. Points beyond the boundary project onto the
//! boundary, so such a projection is no correspondence.
//! \param point projected point
//! \param F triangles of the mesh
//! \param boundary whether each vertex lies on the boundary
bool on_boundary(const SurfacePoint& point, FacesIn F, const std::vector<char>& boundary);

//! Match each target vertex with the template point whose embedding is closest to the embedding of the target
//! vertex.
//! \throw std::invalid_argument if fewer than 4 target vertices correspond
std::vector<Correspondence> correspond_by_embedding(const Problem& problem);

//! Match each template vertex with the closest point of the target, and each target vertex with the closest
//! point of the template. A match is rejected if its normals differ by more than
//! RegistrationOptions::max_angle.
std::vector<Correspondence> correspond_by_surface(const Problem& problem, const TargetSurface& target,
                                                  const State& state);

//! Match each template vertex with a given target vertex. A match is rejected if the distance or the angle
//! between the normals is above its limit. \cite sela2017unrestricted
//! \param problem arguments of the registration
//! \param state current positions
//! \param nearest target vertex of each template vertex
std::vector<Correspondence> correspond_by_vertex(const Problem& problem, const State& state,
                                                 const Nearest& nearest);

//! Keep the correspondences whose value is at most the limit, in order.
//! \param limit maximum value that is kept
//! \param values one per correspondence
//! \param pairs filtered in place
void keep_up_to(double limit, const std::vector<double>& values, std::vector<Correspondence>& pairs);

}  // namespace facegeom::registration
