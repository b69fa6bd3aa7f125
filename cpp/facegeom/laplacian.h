#pragma once

#include <facegeom/edge_matrix.h>

namespace facegeom {

//! A square matrix in compressed rows, columns ascending, every diagonal entry present.
struct Csr {
  Slots starts;   //!< (n + 1,) first slot of each row
  Slots columns;  //!< (nnz,) column of each slot
  Vector values;  //!< (nnz,) value of each slot

  Index rows() const { return starts.size() - 1; }
};

//! Graph Laplacian D - A of the edges: positive semi-definite, every edge has the weight 1.
//! \param F (m, 3) triangles, indices below n
//! \param n number of vertices
//! \return (n, n)
//! \throw std::invalid_argument if n is negative or the mesh is too large for 32-bit indices
Csr uniform_laplacian(FacesIn F, Index n);

//! Cotangent Laplacian: positive semi-definite, off-diagonal -(cot alpha + cot beta) / 2, rows sum to zero.
//! \cite pinkall1993computing
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n; degenerate ones (see kDegenerateRatio) are ignored
//! \return (n, n)
//! \throw std::invalid_argument if the mesh is too large for 32-bit indices
Csr cotangent_laplacian(PointsIn V, FacesIn F);

//! Diagonal of the lumped mass matrix: the mixed Voronoi area of each vertex. The sum is the area of the
//! mesh.
//! \cite meyer2003discrete section 3.3
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \return (n,), zero for a vertex without a triangle of positive area
Vector mass_matrix(PointsIn V, FacesIn F);

//! Bilaplacian L^T M^-1 L: its quadratic form is the integral of the squared Laplacian of a function.
//! \param L (n, n) cotangent Laplacian
//! \param area (n,) of mass_matrix; areas below a thousandth of the mean are raised to this limit, since the
//! stiffness of slivers would grow without limit
//! \return (n, n)
//! \throw std::invalid_argument if the sum of the squared row lengths of L is above 2^28
Csr bilaplacian(const Csr& L, const Vector& area);

//! Mean curvature normals (1/2) M^-1 L V: on a sphere of radius r they point outward with the length 1/r,
//! whatever the orientation of the triangles. \cite meyer2003discrete eq. 8
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \return (n, 3), zero where the mass is zero
Points mean_curvature_normals(PointsIn V, FacesIn F);

//! Product of a matrix in compressed rows with the columns of x.
//! \param starts (n + 1,) first slot of each row, ascending from 0 to nnz
//! \param columns (nnz,) below x.rows()
//! \param values (nnz,)
//! \param x (any, k)
//! \return (n, k)
//! \throw std::invalid_argument if starts, columns or values are inconsistent
Rows multiply(SlotsIn starts, SlotsIn columns, VectorIn values, RowsIn x);

}  // namespace facegeom
