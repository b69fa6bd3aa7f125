#pragma once

#include <facegeom/registration/state.h>

namespace facegeom::registration {

//! Kind of map that fit_alignment and ransac_alignment fit for an initial alignment.
//! \pre start is not kNone
Alignment alignment_of(StartAlignment start);

//! Robust fit of the chosen kind of map to correspondences: iteratively reweighted least squares.
//! \return the map; the identity for StartAlignment::kNone
//! \throw std::invalid_argument if the points of positive weight do not determine the map
AffineMap align_to_correspondences(const Problem& problem, const std::vector<Correspondence>& pairs);

//! Rigid motion or similarity by closest points in both directions (robust ICP). It starts from the
//! similarity (or the rigid motion) of the landmarks, if there are three that do not lie on a line, else from
//! coinciding centroids, with the target's size if the sizes differ by more than a factor of three, as in
//! other units. An affine map is not determined by closest points, so kAffine gives a similarity.
//! \cite besl1992method
//! \throw std::invalid_argument if the corresponding points do not determine the map, or the normals are
//! opposed
AffineMap align_surfaces(const Problem& problem, const TargetSurface& target);

//! Deform the whole shape by polynomials of degree 1, then 2, then 3 in the coordinates.
//!
//! Gauss-Newton steps on the distances to tangent planes. A smooth polynomial field also moves points along
//! the surface, which distances to tangent planes do not measure, and has few unknowns. The thin plate cannot
//! correct these tangential positions later, since its energy keeps each point beside its neighbours.
//! \param problem arguments of the registration
//! \param target surface of the target
//! \param state its positions and normals are changed, and its correspondences replaced
void bend(const Problem& problem, const TargetSurface& target, State& state);

}  // namespace facegeom::registration
