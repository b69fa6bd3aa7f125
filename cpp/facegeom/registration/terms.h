#pragma once

#include <facegeom/registration/state.h>
#include <facegeom/registration/system.h>

namespace facegeom::registration {

//! Standard deviation of the noise of the target points, in the unit of the meshes.
struct Noise {
  double tangential = 0;  //!< standard deviation along the surface
  double normal = 0;      //!< standard deviation along the normal
};

//! Estimate the noise from the difference between each displacement and the mean displacement of its
//! neighbours, and remove the correspondences for which this difference is too large.
//! \param problem arguments of the registration
//! \param state its positions are read, its correspondences filtered
//! \return the noise
Noise estimate_noise(const Problem& problem, State& state);

// Each of the following functions replaces the terms of the system by the terms of the correspondences and of
// the landmarks, and sets the robust weights.

//! Set terms with weights from the noise: the inverse variance along the surface and along the normal.
//! \param problem arguments of the registration
//! \param noise result of estimate_noise
//! \param robust whether to compute the robust weights; else they are 1
//! \param state its correspondences get their robust weights
//! \param system gets the terms
void set_embedded_terms(const Problem& problem, const Noise& noise, bool robust, State& state,
                        DeformationSystem& system);

//! Set terms with weights from the options and robust weights from the distances; the robust weight is 0
//! beyond RegistrationOptions::max_distance.
void set_surface_terms(const Problem& problem, State& state, DeformationSystem& system);

//! Set terms with weights from the options, without robust weights. \cite sela2017unrestricted eq. 8
void set_vertex_terms(const Problem& problem, const State& state, DeformationSystem& system);

}  // namespace facegeom::registration
