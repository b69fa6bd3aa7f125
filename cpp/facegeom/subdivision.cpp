#include <facegeom/edge_matrix.h>
#include <facegeom/subdivision.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace facegeom {

namespace {

constexpr double kPi = 3.14159265358979323846;

//! Numbers of the edges of a mesh, sorted by the lower and then the higher vertex.
class EdgeNumbers {
 public:
  EdgeNumbers(FacesIn F, Index n)
      : edges_(assemble_edges<char>(F, n, false, [](Index) { return std::array<char, 3>{}; })),
        first_(std::size_t(n) + 1, 0) {
    for (Index i = 0; i < n; ++i) {
      first_[std::size_t(i) + 1] = first_[std::size_t(i)] + edges_.starts[i + 1] - upper(i);
    }
  }

  Index count() const { return first_.back(); }

  Index number(Index a, Index b) const {
    const Index low = std::min(a, b);
    const std::int32_t* const begin = edges_.columns.data() + upper(low);
    const std::int32_t* const end = edges_.columns.data() + edges_.starts[low + 1];
    return first_[std::size_t(low)] + (std::lower_bound(begin, end, std::int32_t(std::max(a, b))) - begin);
  }

  //! Call visit(number, low, high) for every edge, in order.
  template <class Visit>
  void each(const Visit& visit) const {
    Index number = 0;
    for (Index i = 0; i + 1 < edges_.starts.size(); ++i) {
      for (std::int32_t s = upper(i); s < edges_.starts[i + 1]; ++s) visit(number++, i, edges_.columns[s]);
    }
  }

 private:
  //! First slot of a row with a column above the diagonal.
  std::int32_t upper(Index row) const { return edges_.diagonal[row]; }

  EdgeMatrix<char> edges_;
  std::vector<Index> first_;
};

//! Weight of each of the k neighbours of an inner vertex. \cite loop1987smooth
double neighbour_weight(Index k) {
  const double part = 0.375 + 0.25 * std::cos(2 * kPi / double(k));
  return (0.625 - part * part) / double(k);
}

}  // namespace

Subdivision subdivide(PointsIn V, FacesIn F, SubdivisionScheme scheme) {
  const Index n = V.rows(), m = F.rows();
  for (Index f = 0; f < m; ++f) {
    if (F(f, 0) == F(f, 1) || F(f, 1) == F(f, 2) || F(f, 2) == F(f, 0)) {
      throw std::invalid_argument("triangle " + std::to_string(f) + " contains a vertex twice");
    }
  }
  const EdgeNumbers edges(F, n);
  const Index e = edges.count();

  Subdivision out;
  out.F.resize(4 * m, 3);
  std::vector<int> triangles(std::size_t(e), 0);
  Points opposite = Points::Zero(scheme == SubdivisionScheme::kLoop ? e : 0, 3);
  WorkCounter work;
  for (Index f = 0; f < m; ++f) {
    work.add(4 * kUnitsPerTriangle);
    Index middle[3];  // new vertex on the edge opposite to each corner
    for (int k = 0; k < 3; ++k) {
      const Index edge = edges.number(F(f, (k + 1) % 3), F(f, (k + 2) % 3));
      ++triangles[std::size_t(edge)];
      if (opposite.rows()) opposite.row(edge) += V.row(F(f, k));
      middle[k] = n + edge;
    }
    out.F.row(4 * f) << F(f, 0), middle[2], middle[1];
    out.F.row(4 * f + 1) << middle[2], F(f, 1), middle[0];
    out.F.row(4 * f + 2) << middle[1], middle[0], F(f, 2);
    out.F.row(4 * f + 3) << middle[0], middle[1], middle[2];
  }

  out.V.resize(n + e, 3);
  out.V.topRows(n) = V;
  out.parents.resize(n + e, 2);
  for (Index i = 0; i < n; ++i) out.parents.row(i) << i, i;
  edges.each([&](Index edge, Index a, Index b) {
    work.add(kUnitsPerTriangle);
    out.parents.row(n + edge) << a, b;
    out.V.row(n + edge) = 0.5 * (V.row(a) + V.row(b));
    if (scheme == SubdivisionScheme::kLoop && triangles[std::size_t(edge)] == 2) {
      out.V.row(n + edge) = 0.375 * (V.row(a) + V.row(b)) + 0.125 * opposite.row(edge);
    }
  });
  if (scheme == SubdivisionScheme::kMidpoint) return out;

  Points around = Points::Zero(n, 3), along = Points::Zero(n, 3);
  Indices neighbours = Indices::Zero(n), creases = Indices::Zero(n);
  edges.each([&](Index edge, Index a, Index b) {
    work.add(kUnitsPerTriangle);
    const bool crease = triangles[std::size_t(edge)] != 2;
    Points& sum = crease ? along : around;
    Indices& count = crease ? creases : neighbours;
    sum.row(a) += V.row(b);
    sum.row(b) += V.row(a);
    ++count[a];
    ++count[b];
  });
  for (Index i = 0; i < n; ++i) {
    if (creases[i] == 2) {
      out.V.row(i) = 0.75 * V.row(i) + 0.125 * along.row(i);
    } else if (creases[i] == 0 && neighbours[i] > 0) {
      const double weight = neighbour_weight(neighbours[i]);
      out.V.row(i) = (1 - double(neighbours[i]) * weight) * V.row(i) + weight * around.row(i);
    }
  }
  return out;
}

}  // namespace facegeom
