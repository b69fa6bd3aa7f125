#pragma once

#include <facegeom/registration/state.h>

namespace facegeom::registration {

// The three outer loops. Each aligns the template, then alternates between weighting (or finding)
// correspondences and solving a linear system, and throws what register_nonrigid documents.

//! Matching::kSurface with embeddings: correspondences are found once, then reweighted.
Registration solve_by_embedding(const Problem& problem, const Progress& progress);

//! Matching::kSurface without embeddings: closest points in both directions, found again in each iteration,
//! while the smoothing length of the deformation decreases.
Registration solve_by_shape(const Problem& problem, const Progress& progress);

//! Matching::kVertex: the loop of the paper. \cite sela2017unrestricted supplement B.1
Registration solve_by_vertex(const Problem& problem, const Progress& progress);

}  // namespace facegeom::registration
