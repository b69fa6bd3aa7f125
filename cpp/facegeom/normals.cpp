#include <facegeom/normals.h>
#include <facegeom/triangle.h>

#include <cmath>

namespace facegeom {

namespace {

void store_unit(const Vec3& v, double* out) {
  const double squared = v.squared();
  const double scale = squared > 0 ? 1 / std::sqrt(squared) : 0;
  out[0] = v.x * scale;
  out[1] = v.y * scale;
  out[2] = v.z * scale;
}

}  // namespace

Points face_normals(PointsIn V, FacesIn F) {
  Points N(F.rows(), 3);
  for (Index f = 0; f < F.rows(); ++f) {
    const Triangle triangle(V.data(), F.data() + 3 * f);
    store_unit(triangle.degenerate() ? Vec3{0, 0, 0} : triangle.area_normal, N.data() + 3 * f);
  }
  return N;
}

Points vertex_normals(PointsIn V, FacesIn F) {
  Points N = Points::Zero(V.rows(), 3);
  double* sums = N.data();
  for (Index f = 0; f < F.rows(); ++f) {
    const Index* face = F.data() + 3 * f;
    const Triangle triangle(V.data(), face);
    if (triangle.degenerate()) continue;
    for (int corner = 0; corner < 3; ++corner) {
      double* sum = sums + 3 * face[corner];
      sum[0] += triangle.area_normal.x;
      sum[1] += triangle.area_normal.y;
      sum[2] += triangle.area_normal.z;
    }
  }
  for (Index i = 0; i < N.rows(); ++i) {
    store_unit(load_point(sums, i), sums + 3 * i);
  }
  return N;
}

}  // namespace facegeom
