#pragma once

#include <facegeom/registration/state.h>
#include <facegeom/registration/system.h>

namespace facegeom::registration {

//! Append an outer iteration to the history, with its energies and its motion.
//! \param problem arguments of the registration
//! \param progress callback, may be empty
//! \param step kind, matches, stiffness and solver iterations
//! \param state X and N after the iteration; `previous` becomes X
//! \param system computes the thin-plate energy
//! \param out registration to whose history the step is appended
//! \return false if the progress callback cancels; the reason of the result is then set
bool record_step(const Problem& problem, const Progress& progress, RegistrationStep step, State& state,
                 DeformationSystem& system, Registration& out);

//! Mark the registration as converged.
void converge(const char* reason, Registration& out);

//! Store the positions and, for each template vertex, the target vertex of the correspondence closest to it.
void store_result(const Problem& problem, const State& state, MatchKind kind, Registration& out);

}  // namespace facegeom::registration
