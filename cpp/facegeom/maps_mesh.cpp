#include <facegeom/checks.h>
#include <facegeom/interrupt.h>
#include <facegeom/maps_mesh.h>

#include <array>
#include <vector>

namespace facegeom {

MapsMesh maps_to_mesh(PointsIn xyz, MaskIn mask, RowsIn embedding, double max_edge) {
  const Index height = mask.rows(), width = mask.cols();
  if (xyz.rows() != mask.size() || embedding.rows() != mask.size()) {
    throw std::invalid_argument("xyz, mask and embedding must have one entry per pixel");
  }
  if (!(max_edge > 0)) throw std::invalid_argument("max_edge must be above 0");

  const double limit = max_edge * max_edge;
  const auto squared = [&](Index a, Index b) { return (xyz.row(a) - xyz.row(b)).squaredNorm(); };
  std::vector<std::array<Index, 3>> triangles;
  triangles.reserve(std::size_t(2 * mask.count()));
  for (Index y = 0; y + 1 < height; ++y) {
    poll_interrupt();
    for (Index x = 0; x + 1 < width; ++x) {
      if (!(mask(y, x) && mask(y, x + 1) && mask(y + 1, x) && mask(y + 1, x + 1))) continue;
      const Index a = y * width + x, b = a + 1, c = a + width, d = c + 1;
      const bool top = squared(a, b) <= limit, bottom = squared(c, d) <= limit;
      const bool left = squared(a, c) <= limit, right = squared(b, d) <= limit;
      const double falling = squared(a, d), rising = squared(b, c);
      const int with_falling = falling <= limit ? int(left && bottom) + int(top && right) : 0;
      const int with_rising = rising <= limit ? int(top && left) + int(bottom && right) : 0;
      if (with_falling > with_rising || (with_falling == with_rising && falling < rising)) {
        if (falling > limit) continue;
        if (left && bottom) triangles.push_back({a, c, d});
        if (top && right) triangles.push_back({a, d, b});
      } else {
        if (rising > limit) continue;
        if (top && left) triangles.push_back({a, c, b});
        if (bottom && right) triangles.push_back({b, c, d});
      }
    }
  }

  Indices place = Indices::Constant(mask.size(), -1);
  for (const auto& triangle : triangles) {
    for (const Index pixel : triangle) place[pixel] = 0;
  }
  Index count = 0;
  for (Index pixel = 0; pixel < place.size(); ++pixel) {
    if (place[pixel] == 0) place[pixel] = count++;
  }
  MapsMesh out{Points(count, 3), Faces(Index(triangles.size()), 3), Rows(count, embedding.cols()),
               Indices(count)};
  for (Index pixel = 0; pixel < place.size(); ++pixel) {
    if (place[pixel] < 0) continue;
    out.V.row(place[pixel]) = xyz.row(pixel);
    out.E.row(place[pixel]) = embedding.row(pixel);
    out.pixel[place[pixel]] = pixel;
  }
  if (!within_magnitude(out.V.data(), out.V.size()) || !within_magnitude(out.E.data(), out.E.size())) {
    throw std::invalid_argument("xyz and embedding must be finite and within 1e30 of 0 inside the mask");
  }
  for (Index f = 0; f < out.F.rows(); ++f) {
    for (int k = 0; k < 3; ++k) out.F(f, k) = place[triangles[std::size_t(f)][std::size_t(k)]];
  }
  return out;
}

}  // namespace facegeom
