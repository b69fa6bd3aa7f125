#pragma once

#include <facegeom/registration/state.h>
#include <facegeom/registration/system.h>

namespace facegeom::registration {

//! Append an outer iteration to the history, with its energies and its motion.
//! \param problem arguments of the registration
//! \param progress callback, may be empty
//! \param step statistics whose kind, matches, stiffness and solver iterations are set
//! \param state X and N after the iteration; `previous` becomes X
//! \param system computes the thin-plate energy
//! \param out registration to whose history the step is appended
//! \return false if the progress callback cancels; the reason of the result is then set
bool record_step(const Problem& problem, const Progress& progress, RegistrationStep step, State& state,
                 DeformationSystem& system, Registration& out);

//! Mark the registration as converged.
//! \param reason why the iterations ended
//! \param out its fields converged and reason are set
void converge(const char* reason, Registration& out);

//! Unmark the registration as converged if a landmark is farther from its place than a twentieth of the
//! diagonal of the deformed template.
//! \param problem arguments of the registration
//! \param out V is read; converged and reason are changed
void check_landmarks(const Problem& problem, Registration& out);

//! Store the deformed template and the match of each template vertex in the result.
//!
//! Only correspondences whose robust weight is at least 0.1 are used. Of the correspondences of a template
//! vertex, the one whose template point has the largest barycentric weight of this vertex is chosen (1 if the
//! point is the vertex itself); its target vertex becomes the match. A vertex without correspondence gets the
//! match -1 and the kind MatchKind::kNone.
//! \param problem arguments of the registration
//! \param state X and the correspondences are read
//! \param kind kind of all matches
//! \param out its fields V, match and kind are set
void store_result(const Problem& problem, const State& state, MatchKind kind, Registration& out);

}  // namespace facegeom::registration
