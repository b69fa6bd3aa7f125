#include <facegeom/registration/weld.h>

#include <array>
#include <cstring>
#include <vector>

namespace facegeom::registration {

namespace {

//! Bits of a position; both zeros are equal.
std::array<std::uint64_t, 3> bits_of(const double* position) {
  std::array<std::uint64_t, 3> bits;
  for (std::size_t k = 0; k < 3; ++k) {
    const double value = position[k] + 0.0;
    std::memcpy(&bits[k], &value, sizeof value);
  }
  return bits;
}

std::uint64_t hash(const std::array<std::uint64_t, 3>& bits) {
  std::uint64_t value = 0;
  for (const std::uint64_t part : bits) {
    value = (value ^ part) * 0x9e3779b97f4a7c15;
    value ^= value >> 29;
  }
  return value;
}

//! For each vertex that is in a triangle, the first such vertex at the same position; -1 for the others.
Indices first_at_position(PointsIn V, FacesIn F) {
  Indices first = Indices::Constant(V.rows(), -1);
  for (Index i = 0; i < F.size(); ++i) first[F.data()[i]] = F.data()[i];
  std::size_t slots = 64;
  while (slots < 2 * std::size_t(V.rows())) slots *= 2;
  std::vector<Index> table(slots, -1);
  for (Index i = 0; i < V.rows(); ++i) {
    if (first[i] < 0) continue;
    const auto bits = bits_of(V.data() + 3 * i);
    std::size_t slot = hash(bits) & (slots - 1);
    while (table[slot] >= 0 && bits_of(V.data() + 3 * table[slot]) != bits) slot = (slot + 1) & (slots - 1);
    if (table[slot] < 0) table[slot] = i;
    first[i] = table[slot];
  }
  return first;
}

}  // namespace

WeldedMesh::WeldedMesh(const EmbeddedMesh& mesh) : original_(mesh) {
  place_ = first_at_position(mesh.V, mesh.F);
  const Index n = mesh.V.rows();
  Index kept = 0;
  for (Index i = 0; i < n; ++i) kept += place_[i] == i;
  changed_ = kept < n;
  if (!changed_) return;
  origin_.resize(kept);
  kept = 0;
  for (Index i = 0; i < n; ++i) {
    if (place_[i] == i) {
      origin_[kept] = i;
      place_[i] = kept++;
    } else if (place_[i] >= 0) {
      place_[i] = place_[place_[i]];  // already renumbered: the first vertex comes before
    }
  }
  V_.resize(kept, 3);
  E_.resize(kept, mesh.E.cols());
  for (Index i = 0; i < kept; ++i) {
    V_.row(i) = mesh.V.row(origin_[i]);
    E_.row(i) = mesh.E.row(origin_[i]);
  }
  F_.resize(mesh.F.rows(), 3);
  for (Index i = 0; i < F_.size(); ++i) F_.data()[i] = place_[mesh.F.data()[i]];
}

EmbeddedMesh WeldedMesh::mesh() const { return changed_ ? EmbeddedMesh{V_, F_, E_} : original_; }

}  // namespace facegeom::registration
