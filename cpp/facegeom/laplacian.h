#pragma once

#include <facegeom/edge_matrix.h>

namespace facegeom {

//! A square matrix in compressed rows, columns ascending, every diagonal entry present.
struct Csr {
  Slots starts;   //!< (n + 1,)
  Slots columns;  //!< (nnz,)
  Vector values;  //!< (nnz,)

  Index rows() const { return starts.size() - 1; }
};

//! Graph Laplacian D - A of the mesh's edges: positive semi-definite, each edge of weight one.
//! \param F (m, 3) triangles, indices below n
//! \throw std::invalid_argument if the mesh is too large for 32-bit slots
Csr uniform_laplacian(FacesIn F, Index n);

//! Cotangent Laplacian: positive semi-definite, off-diagonal -(cot alpha + cot beta) / 2, rows sum to zero.
//! \cite pinkall_polthier_1993
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n; degenerate ones (see kDegenerateRatio) give nothing
//! \throw std::invalid_argument if the mesh is too large for 32-bit slots
Csr cotangent_laplacian(PointsIn V, FacesIn F);

//! Diagonal of the lumped mass matrix: the mixed Voronoi area of each vertex, whose sum is the mesh's area.
//! \cite meyer_2003
//! \return (n,), zero for a vertex without a triangle of positive area
Vector mass_matrix(PointsIn V, FacesIn F);

//! Bilaplacian L^T M^-1 L: its quadratic form is the integral of the squared Laplacian of a function.
//! \param L the cotangent Laplacian
//! \param area (n,) of `mass_matrix`; less than a thousandth of the mean counts as that: slivers would be
//! infinitely stiff
Csr bilaplacian(const Csr& L, const Vector& area);

//! Mean curvature normals (1/2) M^-1 L V: 1/r outward on a sphere, whatever the orientation of the triangles.
//! \return (n, 3), zero where the mass is zero
Points mean_curvature_normals(PointsIn V, FacesIn F);

//! Product of a matrix in compressed rows with the columns of x.
//! \param starts (n + 1,) first slot of each row, ascending from 0 to nnz
//! \param columns (nnz,) below x.rows()
//! \param values (nnz,)
//! \throw std::invalid_argument if they are not such
Rows multiply(SlotsIn starts, SlotsIn columns, VectorIn values, RowsIn x);

}  // namespace facegeom
