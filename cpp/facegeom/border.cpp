#include <facegeom/border.h>

namespace facegeom {

namespace {

std::uint64_t scrambled(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

// Around an inner vertex each neighbour is once the first
// and once the last corner of a triangle: the sum of scrambled differences is zero there, and else is not.
std::vector<char> border_vertices(FacesIn F, Index n) {
  std::vector<std::uint64_t> sums(std::size_t(n), 0);
  for (Index f = 0; f < F.rows(); ++f) {
    for (int k = 0; k < 3; ++k) {
      sums[std::size_t(F(f, k))] +=
          scrambled(std::uint64_t(F(f, (k + 1) % 3))) - scrambled(std::uint64_t(F(f, (k + 2) % 3)));
    }
  }
  std::vector<char> out(std::size_t(n), 0);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = sums[i] != 0;
  return out;
}

}  // namespace facegeom
