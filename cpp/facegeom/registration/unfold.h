#pragma once

#include <facegeom/types.h>

namespace facegeom::registration {

//! Remove folds that a deformation has made.
//!
//! A fold is an edge whose dihedral angle has grown by more than `angle` since the rest positions. The
//! vertices up to two rings around a fold are replaced by their rest shape, transformed by the similarity
//! that best fits the rest shape to the deformed positions. If folds remain, the patch is enlarged, up to
//! four times.
//! \param rest (n, 3) positions without folds
//! \param F (m, 3) triangles, indices below n
//! \param angle radians
//! \param X (n, 3) deformed positions, changed near folds only
//! \return number of folded edges that remain
Index unfold(PointsIn rest, FacesIn F, double angle, Points& X);

}  // namespace facegeom::registration
