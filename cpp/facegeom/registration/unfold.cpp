#include <facegeom/alignment.h>
#include <facegeom/interrupt.h>
#include <facegeom/normals.h>
#include <facegeom/registration/unfold.h>
#include <facegeom/union_find.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace facegeom::registration {

namespace {

constexpr int kMaxRounds = 4;
//! Cosine of 45 degrees (0.7), rounded down: edges between triangles closer in direction are not folds. A
//! cheap test before the angle is computed.
constexpr double kFlatCosine = 0.7;
//! Fraction of the motion to the rest shape in the outer rings of a patch, where the patch joins other
//! vertices.
constexpr double kRimShare = 0.5;
//! Width of that rim, in rings of vertices.
constexpr int kRimRings = 2;

//! The two triangles of each inner edge.
std::vector<std::array<Index, 2>> neighbours(FacesIn F) {
  std::vector<std::array<Index, 3>> sides;  // lower vertex, higher vertex, face
  sides.reserve(std::size_t(3 * F.rows()));
  for (Index f = 0; f < F.rows(); ++f) {
    for (int k = 0; k < 3; ++k) {
      const Index a = F(f, k), b = F(f, (k + 1) % 3);
      sides.push_back({std::min(a, b), std::max(a, b), f});
    }
  }
  std::sort(sides.begin(), sides.end());
  std::vector<std::array<Index, 2>> out;
  for (std::size_t s = 0; s + 1 < sides.size(); ++s) {
    if (sides[s][0] == sides[s + 1][0] && sides[s][1] == sides[s + 1][1]) {
      out.push_back({sides[s][2], sides[s + 1][2]});
    }
  }
  return out;
}

//! Mark all vertices within some rings of the marked ones.
void grow(FacesIn F, std::vector<char>& marked, int rings) {
  for (int ring = 0; ring < rings; ++ring) {
    const std::vector<char> before = marked;
    for (Index f = 0; f < F.rows(); ++f) {
      bool touched = false;
      for (int k = 0; k < 3; ++k) touched = touched || before[std::size_t(F(f, k))];
      if (!touched) continue;
      for (int k = 0; k < 3; ++k) marked[std::size_t(F(f, k))] = 1;
    }
  }
}

//! Connected components of the marked vertices, each ascending.
std::vector<std::vector<Index>> components(FacesIn F, const std::vector<char>& marked) {
  UnionFind sets(Index(marked.size()));
  for (Index f = 0; f < F.rows(); ++f) {
    for (int k = 0; k < 3; ++k) {
      const Index a = F(f, k), b = F(f, (k + 1) % 3);
      if (!marked[std::size_t(a)] || !marked[std::size_t(b)]) continue;
      sets.join(a, b);
    }
  }
  std::vector<std::vector<Index>> out;
  std::vector<Index> place(marked.size(), -1);
  for (std::size_t i = 0; i < marked.size(); ++i) {
    if (!marked[i]) continue;
    Index& at = place[std::size_t(sets.find(Index(i)))];
    if (at < 0) {
      at = Index(out.size());
      out.emplace_back();
    }
    out[std::size_t(at)].push_back(Index(i));
  }
  return out;
}

}  // namespace

Index unfold(PointsIn rest, FacesIn F, double angle, Points& X) {
  const std::vector<std::array<Index, 2>> edges = neighbours(F);
  const Points rest_N = face_normals(rest, F);
  const auto turn = [](const Points& N, const std::array<Index, 2>& edge) {
    return std::acos(std::clamp(N.row(edge[0]).dot(N.row(edge[1])), -1.0, 1.0));
  };
  const auto folds = [&](std::vector<char>& marked) {
    const Points N = face_normals(X, F);
    Index count = 0;
    for (const auto& edge : edges) {
      if (N.row(edge[0]).dot(N.row(edge[1])) > kFlatCosine || turn(N, edge) - turn(rest_N, edge) < angle)
        continue;
      ++count;
      for (const Index f : edge) {
        for (int k = 0; k < 3; ++k) marked[std::size_t(F(f, k))] = 1;
      }
    }
    return count;
  };

  std::vector<char> marked(std::size_t(X.rows()), 0);
  Index remaining = folds(marked);
  for (int round = 0; round < kMaxRounds && remaining > 0; ++round) {
    poll_interrupt();
    std::vector<char> core = marked;
    grow(F, core, 1 + round);
    std::vector<char> rim = core;
    grow(F, rim, kRimRings);
    for (const std::vector<Index>& patch : components(F, rim)) {
      Points P(Index(patch.size()), 3), Q(P.rows(), 3);
      for (std::size_t k = 0; k < patch.size(); ++k) {
        P.row(Index(k)) = rest.row(patch[k]);
        Q.row(Index(k)) = X.row(patch[k]);
      }
      AffineMap map;
      try {
        map = fit_alignment(P, Q, Vector::Ones(P.rows()), Alignment::kSimilarity);
      } catch (const std::invalid_argument&) {
        continue;  // the patch lies on a line
      }
      const Points moved = map.apply(P);
      for (std::size_t k = 0; k < patch.size(); ++k) {
        const double share = core[std::size_t(patch[k])] ? 1 : kRimShare;
        X.row(patch[k]) += share * (moved.row(Index(k)) - X.row(patch[k]));
      }
    }
    std::fill(marked.begin(), marked.end(), 0);
    remaining = folds(marked);
  }
  return remaining;
}

}  // namespace facegeom::registration
