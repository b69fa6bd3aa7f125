#pragma once

#include <facegeom/types.h>

#include <memory>

namespace facegeom {

//! Laplacian smoothing with uniform weights; all vertices move at the same time in each iteration.
//!
//! Every iteration moves a vertex by `step` of the way to the mean of its neighbours. A vertex on a boundary
//! edge (an edge of one triangle) uses only its neighbours along the boundary, so that the boundary does not
//! shrink into the surface; with fix_boundary it does not move. Vertices without triangles do not move.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param iterations at least 0
//! \param step in [0, 1]
//! \param fix_boundary keep vertices on a boundary
//! \return (n, 3) smoothed positions
//! \throw std::invalid_argument if iterations is negative, step is outside [0, 1] or the mesh is too large
//! for 32-bit indices
Points laplacian_smooth(PointsIn V, FacesIn F, int iterations, double step, bool fix_boundary);

//! Diffuse values over the surface: (M + time L)^-1 M values, one implicit Euler step with the mixed Voronoi
//! areas M and the cotangent Laplacian L. \cite desbrun1999implicit
//!
//! Solved by conjugate gradients with a diagonal preconditioner, up to four columns at a time; fast for one
//! solve.
//! Vertices without area keep their values.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param values (n, k)
//! \param time squared length, at least 0; 0 returns the values
//! \param tolerance maximum residual of each column relative to M values; a residual as small as rounding
//! errors is always accepted
//! \return (n, k) diffused values
//! \throw std::invalid_argument if values does not have n rows or the time is negative
//! \throw SolverError if the tolerance is not reached, or the result is not finite
Rows heat_smooth(PointsIn V, FacesIn F, RowsIn values, double time, double tolerance);

//! The system of heat_smooth, factorised once by Cholesky for many right-hand sides.
class MeshSolver {
 public:
  //! \param V (n, 3) positions
  //! \param F (m, 3) triangles, indices below n
  //! \param time squared length, at least 0
  //! \throw std::invalid_argument if time is negative
  //! \throw SolverError if the factorisation fails or is not finite
  MeshSolver(PointsIn V, FacesIn F, double time);
  ~MeshSolver();
  MeshSolver(const MeshSolver&) = delete;
  MeshSolver& operator=(const MeshSolver&) = delete;

  //! Diffuse values over the surface, as heat_smooth.
  //! \param values (n, k)
  //! \return (n, k) diffused values
  //! \throw std::invalid_argument if values does not have n rows
  //! \throw SolverError if the result is not finite
  Rows smooth(RowsIn values) const;

 private:
  struct Factor;
  std::unique_ptr<Factor> factor_;
};

}  // namespace facegeom
