#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>
#include <cstdint>
#include <stdexcept>

namespace facegeom {

using Index = std::int64_t;

//! Positions and attributes, one row per element: (n, 3), (n, 2) and (n, k).
using Points = Eigen::Matrix<double, Eigen::Dynamic, 3, Eigen::RowMajor>;
using Points2 = Eigen::Matrix<double, Eigen::Dynamic, 2, Eigen::RowMajor>;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
//! Triangles, counter-clockwise when viewed from outside: (m, 3).
using Faces = Eigen::Matrix<Index, Eigen::Dynamic, 3, Eigen::RowMajor>;
//! Pairs of vertices: (e, 2).
using Edges = Eigen::Matrix<Index, Eigen::Dynamic, 2, Eigen::RowMajor>;
using Indices = Eigen::Matrix<Index, Eigen::Dynamic, 1>;
using Vector = Eigen::VectorXd;
using Sparse = Eigen::SparseMatrix<double, Eigen::RowMajor, Index>;

using PointsIn = Eigen::Ref<const Points>;
using Points2In = Eigen::Ref<const Points2>;
using RowsIn = Eigen::Ref<const Rows>;
using FacesIn = Eigen::Ref<const Faces>;
using VectorIn = Eigen::Ref<const Vector>;
using IndicesIn = Eigen::Ref<const Indices>;

//! Thrown when a linear solve fails or does not reach its tolerance. In Python: facegeom.SolverError.
class SolverError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace facegeom
