#pragma once

#include <facegeom/types.h>

#include <memory>

namespace facegeom {

//! Laplacian smoothing with uniform weights, all vertices moving at once in each iteration.
//!
//! Every iteration moves a vertex by `step` of the way to the mean of its neighbours. A vertex on a boundary
//! edge (an edge of one triangle) looks only at its neighbours along the boundary, so that the outline
//! neither shrinks into the surface nor pulls at it; with fix_boundary it stays. Vertices without triangles
//! stay.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \throw std::invalid_argument if iterations is negative, step is outside [0, 1] or the mesh is too large
Points laplacian_smooth(PointsIn V, FacesIn F, int iterations, double step, bool fix_boundary);

//! Diffuse values over the surface for a time: (M + time L)^-1 M values, one implicit Euler step.
//!
//! Conjugate gradients with a diagonal preconditioner, all columns in one sweep; fast for one solve.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param values (n, k)
//! \param time squared length; 0 returns the values
//! \param tolerance residual of each column relative to M values; that of rounding is accepted in any case
//! Vertices without area keep their values.
//! \throw std::invalid_argument on mismatched rows or a negative time
//! \throw SolverError if the tolerance is not reached
Rows heat_smooth(PointsIn V, FacesIn F, RowsIn values, double time, double tolerance);

//! The same system, factorised once by Cholesky for many right-hand sides.
class MeshSolver {
 public:
  //! \throw std::invalid_argument if time is negative
  //! \throw SolverError if the factorisation fails
  MeshSolver(PointsIn V, FacesIn F, double time);
  ~MeshSolver();
  MeshSolver(const MeshSolver&) = delete;
  MeshSolver& operator=(const MeshSolver&) = delete;

  //! \param values (n, k), one row per vertex of V
  Rows smooth(RowsIn values) const;

 private:
  struct Factor;
  std::unique_ptr<Factor> factor_;
};

}  // namespace facegeom
