#pragma once

#include <facegeom/types.h>

namespace facegeom::registration {

//! Lay flat again what a deformation has folded over.
//!
//! A fold is an edge between two triangles whose angle has grown by more than `angle` since rest. The patch
//! of two rings around each fold takes the rest shape, moved by the similarity that fits its surroundings
//! best; a wider patch follows where that does not suffice.
//! \param rest (n, 3) positions without the folds
//! \param F (m, 3) triangles, indices below n
//! \param angle radians
//! \param X (n, 3) deformed positions, changed at the folds only
//! \return number of folded edges that remain
Index unfold(PointsIn rest, FacesIn F, double angle, Points& X);

}  // namespace facegeom::registration
