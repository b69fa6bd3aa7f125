#include <facegeom/checks.h>

#include <cstring>

namespace facegeom {

namespace {

std::uint64_t bits_of(double value) {
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

}  // namespace

// Both loops are free of branches, so that they are vectorised. Without its sign, a double is ordered like
// its bits, and those of infinity and NaN are the largest.

bool within_magnitude(const double* values, Index count) {
  const std::uint64_t limit = bits_of(kMaxMagnitude), sign = std::uint64_t(1) << 63;
  std::uint64_t above = 0;
  for (Index i = 0; i < count; ++i) above |= limit - (bits_of(values[i]) & ~sign);
  return (above & sign) == 0;
}

bool indices_below(const Index* indices, Index count, Index upper) {
  Index outside = 0;
  for (Index i = 0; i < count; ++i) {
    outside |= indices[i] | Index(std::uint64_t(upper) - 1 - std::uint64_t(indices[i]));
  }
  return outside >= 0;
}

}  // namespace facegeom
