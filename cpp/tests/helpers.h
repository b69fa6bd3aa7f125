#pragma once

// Every test includes this header first: doctest, and the meshes that several tests use.
#include <doctest/doctest.h>
#include <facegeom/types.h>

#include <random>

namespace facegeom::testing {

struct Mesh {
  Points V;
  Faces F;
};

//! Square of size x size vertices one unit apart in the plane z = 0, facing +z. Two triangles per cell.
Mesh grid(Index size);

//! The grid with a smooth relief, so that it is not planar.
Mesh relief(Index size, double height);

//! Tetrahedron with the corners 0, e_x, e_y, e_z; counter-clockwise from outside.
Mesh tetrahedron();

//! Unit sphere of 20 * 4^level triangles, by midpoint subdivision of an icosahedron.
Mesh icosphere(int level);

//! Two triangles that share only a vertex.
Mesh bow_tie();

//! Rotation by random Euler angles.
Eigen::Matrix3d rotation(unsigned seed);

//! Independent standard normal values.
Rows normal_values(Index rows, Index cols, unsigned seed);

//! A view of a matrix that claims to have `rows` rows, of which none may be read. For limits on sizes whose
//! arrays would not fit into memory.
template <class Matrix>
Eigen::Map<const Matrix> unreadable(Index rows, Index cols) {
  static const typename Matrix::Scalar storage[16] = {};
  return Eigen::Map<const Matrix>(storage, rows, cols);
}

constexpr Index kTooManyRows = 2147483648;  // 2^31

}  // namespace facegeom::testing
