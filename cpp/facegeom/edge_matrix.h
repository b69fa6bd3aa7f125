#pragma once

#include <facegeom/interrupt.h>
#include <facegeom/types.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

namespace facegeom {

//! Indices within compressed rows. 32 bits, as in SciPy, halve the memory that a product reads.
using Slots = Eigen::Matrix<std::int32_t, Eigen::Dynamic, 1>;
using SlotsIn = Eigen::Ref<const Slots>;

//! A symmetric matrix with one entry per edge of a mesh, in compressed rows with ascending columns. Built by
//! assemble_edges.
template <class Value>
struct EdgeMatrix {
  Slots starts;                                    //!< (n + 1,) first slot of each row
  Slots columns;                                   //!< (nnz,) column of each slot
  Eigen::Matrix<Value, Eigen::Dynamic, 1> values;  //!< (nnz,) value of each slot, zero on the diagonal
  Slots diagonal;  //!< (n,) slot of the diagonal; without a diagonal, the first slot above it
};

//! Work of a triangle in assemble_edges, see WorkCounter.
constexpr std::int64_t kUnitsPerTriangle = 32;

//! Assemble a symmetric matrix from values of the three edges of each triangle.
//!
//! The values of an edge are added in the order of the triangles. Entries are collected at the lower vertex
//! of each edge, so only a few entries per row are sorted; the other half is written in order without
//! sorting.
//! \param F (m, 3) triangles, indices below n; an edge from a vertex to itself is ignored
//! \param n number of vertices
//! \param with_diagonal whether every row has a slot for its diagonal, with the value 0
//! \param triangle_values called as triangle_values(f); returns the values of the edges opposite to corners
//! 0, 1, 2 as a std::array
//! \return the (n, n) matrix
//! \throw std::invalid_argument if n is negative or the mesh is too large for 32-bit indices
template <class Value, class TriangleValues>
EdgeMatrix<Value> assemble_edges(FacesIn F, Index n, bool with_diagonal,
                                 const TriangleValues& triangle_values) {
  constexpr Index kMost = std::numeric_limits<std::int32_t>::max();
  if (n < 0 || n >= kMost || F.rows() >= kMost / 6 || 6 * F.rows() + n >= kMost) {
    throw std::invalid_argument("the mesh is too large for 32-bit indices");
  }
  struct Entry {
    std::int32_t column;
    Value value;
  };
  //! Longer rows, at vertices with very many triangles, are not sorted by insertion, which takes quadratic
  //! time.
  constexpr std::ptrdiff_t kLongRow = 256;
  WorkCounter work;
  const auto rows = static_cast<std::size_t>(n);
  std::vector<std::int32_t> begin(rows + 1, 0);
  for (Index f = 0; f < F.rows(); ++f) {
    const Index a = F(f, 0), b = F(f, 1), c = F(f, 2);
    begin[std::size_t(std::min(b, c))] += b != c;
    begin[std::size_t(std::min(c, a))] += c != a;
    begin[std::size_t(std::min(a, b))] += a != b;
  }
  std::int32_t total = 0;
  for (std::int32_t& first : begin) {
    const std::int32_t count = first;
    first = total;
    total += count;
  }

  // A vector would fill the memory with zeros first.
  const std::unique_ptr<Entry[]> upper(new Entry[static_cast<std::size_t>(total)]);
  std::vector<std::int32_t> end(begin.begin(), begin.end() - 1);
  const auto push = [&](Index i, Index j, const Value& value) {
    if (i == j) return;
    const auto ends = std::minmax(i, j);
    upper[std::size_t(end[std::size_t(ends.first)]++)] = {static_cast<std::int32_t>(ends.second), value};
  };
  for (Index f = 0; f < F.rows(); ++f) {
    work.add(kUnitsPerTriangle);
    const std::array<Value, 3> values = triangle_values(f);
    push(F(f, 1), F(f, 2), values[0]);
    push(F(f, 2), F(f, 0), values[1]);
    push(F(f, 0), F(f, 1), values[2]);
  }

  // Sort the few entries of each row by insertion, and add the entries of the same edge.
  std::vector<std::int32_t> lower(rows, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    Entry* const row = upper.get() + begin[i];
    Entry* last = row;
    const std::ptrdiff_t length = end[i] - begin[i];
    work.add(kUnitsPerTriangle + length);
    if (length > kLongRow) {
      std::stable_sort(row, row + length, [](const Entry& a, const Entry& b) { return a.column < b.column; });
    }
    for (Entry* next = row; next != upper.get() + end[i]; ++next) {
      const Entry entry = *next;
      Entry* place = last;
      while (place != row && (place - 1)->column > entry.column) --place;
      if (place != row && (place - 1)->column == entry.column) {
        (place - 1)->value += entry.value;
        continue;
      }
      for (Entry* moved = last; moved != place; --moved) *moved = *(moved - 1);
      *place = entry;
      ++last;
      ++lower[std::size_t(entry.column)];
    }
    end[i] = static_cast<std::int32_t>(last - upper.get());
  }

  poll_interrupt();
  EdgeMatrix<Value> out;
  out.starts.resize(n + 1);
  out.diagonal.resize(n);
  std::int32_t slot = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    out.starts[Index(i)] = slot;
    out.diagonal[Index(i)] = slot + lower[i];
    const std::int32_t first = slot;
    slot += lower[i] + std::int32_t(with_diagonal) + end[i] - begin[i];
    lower[i] = first;
  }
  out.starts[n] = slot;
  out.columns.resize(slot);
  out.values.resize(slot);
  std::int32_t* const columns = out.columns.data();
  Value* const values = out.values.data();
  for (std::size_t i = 0; i < rows; ++i) {
    work.add(kUnitsPerTriangle);
    std::int32_t place = out.diagonal[Index(i)];
    if (with_diagonal) {
      columns[place] = static_cast<std::int32_t>(i);
      values[place] = Value(0);
      ++place;
    }
    for (std::int32_t e = begin[i]; e != end[i]; ++e, ++place) {
      const Entry& entry = upper[std::size_t(e)];
      columns[place] = entry.column;
      values[place] = entry.value;
      const std::int32_t mirrored = lower[std::size_t(entry.column)]++;
      columns[mirrored] = static_cast<std::int32_t>(i);
      values[mirrored] = entry.value;
    }
  }
  return out;
}

}  // namespace facegeom
