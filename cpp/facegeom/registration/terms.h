#pragma once

#include <facegeom/registration/state.h>
#include <facegeom/registration/system.h>

namespace facegeom::registration {

//! Standard deviation of the target points, in the unit of the meshes.
struct Noise {
  double tangential = 0;  //!< along the surface
  double normal = 0;      //!< across the surface
};

//! Estimate the noise from how far each displacement lies from the mean of its neighbours' displacements, and
//! drop the correspondences that lie too far from it.
//! \param problem arguments of the registration
//! \param state its positions are read, its correspondences filtered
//! \return the noise
Noise estimate_noise(const Problem& problem, State& state);

// Each of the following replaces the terms of the system by those of the correspondences and the landmarks,
// and sets the robust weights.

//! Weights from the noise: the inverse variance along and across the surface.
//! \param problem arguments of the registration
//! \param noise result of estimate_noise
//! \param robust whether to compute the robust weights; else they are 1
//! \param state its correspondences get their robust weights
//! \param system gets the terms
void set_embedded_terms(const Problem& problem, const Noise& noise, bool robust, State& state,
                        DeformationSystem& system);

//! Weights from the options, robust weights from the distances; 0 beyond RegistrationOptions::max_distance.
void set_surface_terms(const Problem& problem, State& state, DeformationSystem& system);

//! Weights from the options, without robust weights. \cite sela2017unrestricted eq. 8
void set_vertex_terms(const Problem& problem, const State& state, DeformationSystem& system);

}  // namespace facegeom::registration
