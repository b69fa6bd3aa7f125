#pragma once

#include <facegeom/checks.h>

#include <cmath>
#include <string>

// Checks of arguments that would otherwise lead to invalid memory accesses or results that are not finite.
// facegeom._internal.check has checked the arguments of the public functions before, with all conversions.

//! The memory of an array can be read: aligned, and without gaps between its rows.
//! \throw std::invalid_argument otherwise
template <class Matrix>
void check_layout(const Eigen::Ref<const Matrix>& array, const char* name) {
  const auto address = reinterpret_cast<std::uintptr_t>(array.data());
  const facegeom::Index length = Matrix::IsRowMajor ? array.cols() : array.rows();
  const bool gaps = array.outerSize() > 1 && array.outerStride() != length;
  if (array.size() > 0 && (address % alignof(typename Matrix::Scalar) != 0 || gaps)) {
    throw std::invalid_argument(std::string(name) + " must be an aligned C-contiguous array");
  }
}

//! As check_layout, and every value is finite and not too large.
template <class Matrix>
void check_values(const Eigen::Ref<const Matrix>& array, const char* name) {
  check_layout(array, name);
  if (facegeom::within_magnitude(array.data(), array.size())) return;
  throw std::invalid_argument(std::string(name) + (array.allFinite()
                                                       ? " must lie within 1e30 of 0"
                                                       : " must be finite, got NaN or infinity"));
}

//! As check_layout, and every index lies in [0, upper).
template <class Matrix>
void check_indices(const Eigen::Ref<const Matrix>& array, facegeom::Index upper, const char* name) {
  check_layout(array, name);
  if (facegeom::indices_below(array.data(), array.size(), upper)) return;
  throw std::invalid_argument(std::string(name) + " must lie in [0, " + std::to_string(upper) + ")");
}

//! Positions and triangles of a mesh.
inline void check_mesh(const facegeom::PointsIn& V, const facegeom::FacesIn& F) {
  check_values(V, "V");
  check_indices(F, V.rows(), "F");
}

//! \throw std::invalid_argument for NaN; infinity is left to the core
inline void check_number(double value, const char* name) {
  if (std::isnan(value)) throw std::invalid_argument(std::string(name) + " must not be NaN");
}

//! A number of vertices.
//! \throw std::invalid_argument if it is negative or above 2^28
inline void check_vertex_count(facegeom::Index count) {
  if (count < 0 || count > facegeom::kMaxVertices) {
    throw std::invalid_argument("the number of vertices must lie in [0, 2^28]");
  }
}
