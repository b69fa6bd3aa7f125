#include "helpers.h"

#include <facegeom/boundary.h>
#include <facegeom/cleanup.h>
#include <facegeom/depth_mesh.h>
#include <facegeom/maps_mesh.h>
#include <facegeom/normals.h>

#include <cmath>
#include <limits>

using namespace facegeom;

namespace {

Mask disc(Index size, double radius) {
  Mask mask(size, size);
  for (Index y = 0; y < size; ++y) {
    for (Index x = 0; x < size; ++x) {
      mask(y, x) = std::hypot(double(x) - double(size) / 2, double(y) - double(size) / 2) < radius;
    }
  }
  return mask;
}

Rows slope(Index size) {
  Rows depth(size, size);
  for (Index y = 0; y < size; ++y) {
    for (Index x = 0; x < size; ++x) depth(y, x) = 0.3 * double(x) - 0.2 * double(y);
  }
  return depth;
}

}  // namespace

TEST_CASE("depth_to_mesh: about the desired number of vertices, all facing the viewer, in one component") {
  for (const Index count : {200, 2000}) {
    const DepthMesh mesh = depth_to_mesh(slope(120), disc(120, 50), {1, 60, 60, count, false});
    CHECK(double(mesh.V.rows()) == doctest::Approx(double(count)).epsilon(0.05));
    CHECK(face_normals(mesh.V, mesh.F).col(2).minCoeff() > 0);
    CHECK(connected_components(mesh.F, mesh.V.rows()).maxCoeff() == 0);
  }
}

TEST_CASE("depth_to_mesh: the vertices lie on the surface and in the unit of the scale") {
  const DepthMesh mesh = depth_to_mesh(slope(80), disc(80, 30), {2, 40, 41, 600, false});
  for (Index i = 0; i < mesh.V.rows(); ++i) {
    const double x = mesh.pixel(i, 0), y = mesh.pixel(i, 1);
    CHECK(mesh.V(i, 0) == doctest::Approx((x - 40) / 2));
    CHECK(mesh.V(i, 1) == doctest::Approx((41 - y) / 2));
    CHECK(mesh.V(i, 2) == doctest::Approx(0.3 * x - 0.2 * y).epsilon(1e-9));
  }
}

TEST_CASE("depth_to_mesh: the area is that of the mask; the background fills the convex hull") {
  Mask ring = disc(120, 50);
  const Mask hole = disc(120, 20);
  ring = ring.array() && !hole.array();
  const auto area = [](const DepthMesh& mesh) {
    double sum = 0;
    for (Index f = 0; f < mesh.F.rows(); ++f) {
      const Eigen::RowVector2d a = mesh.pixel.row(mesh.F(f, 0)), ab = mesh.pixel.row(mesh.F(f, 1)) - a,
                               ac = mesh.pixel.row(mesh.F(f, 2)) - a;
      sum += std::abs(ab.x() * ac.y() - ab.y() * ac.x()) / 2;
    }
    return sum;
  };
  const Rows depth = slope(120);
  const double pi = 3.14159265358979;
  CHECK(area(depth_to_mesh(depth, ring, {1, 0, 0, 1500, false})) ==
        doctest::Approx(pi * (2500 - 400)).epsilon(0.03));
  CHECK(area(depth_to_mesh(depth, ring, {1, 0, 0, 1500, true})) == doctest::Approx(pi * 2500).epsilon(0.03));
}

TEST_CASE("depth_to_mesh: an empty mask or a line of one pixel gives an empty mesh") {
  Mask mask = Mask::Constant(20, 20, false);
  const auto vertices = [&] { return depth_to_mesh(slope(20), mask, {1, 0, 0, 100, false}).V.rows(); };
  CHECK(vertices() == 0);
  mask.row(7).setConstant(true);
  CHECK(vertices() == 0);
}

TEST_CASE("depth_to_mesh: throws") {
  const Rows depth = slope(20);
  const Mask mask = disc(20, 8);
  CHECK_THROWS_AS(depth_to_mesh(depth, mask.topRows(19), {1, 0, 0, 100, false}), std::invalid_argument);
  CHECK_THROWS_AS(depth_to_mesh(depth, mask, {0, 0, 0, 100, false}), std::invalid_argument);
  CHECK_THROWS_AS(depth_to_mesh(depth, mask, {1, 0, 0, 2, false}), std::invalid_argument);
}

namespace {

//! Positions of the pixels of a plane, x right, y up.
Points plane(Index height, Index width) {
  Points xyz(height * width, 3);
  for (Index p = 0; p < xyz.rows(); ++p) xyz.row(p) << double(p % width), -double(p / width), 0;
  return xyz;
}

}  // namespace

TEST_CASE("maps_to_mesh: two triangles per block, facing the viewer") {
  const Points xyz = plane(5, 6);
  const Rows embedding = testing::normal_values(30, 2, 1);
  const MapsMesh mesh = maps_to_mesh(xyz, Mask::Constant(5, 6, true), embedding, 10);
  CHECK(mesh.F.rows() == 2 * 4 * 5);
  CHECK(face_normals(mesh.V, mesh.F).col(2).minCoeff() == 1);
  CHECK(mesh.pixel == Indices::LinSpaced(30, 0, 29));
  CHECK(mesh.E == embedding);
}

TEST_CASE("maps_to_mesh: unknown pixels and long edges are omitted") {
  Points xyz = plane(4, 4);
  Mask mask = Mask::Constant(4, 4, true);
  mask(0, 0) = false;
  xyz.row(0).setConstant(std::numeric_limits<double>::quiet_NaN());
  xyz(15, 2) = 100;
  const MapsMesh mesh = maps_to_mesh(xyz, mask, xyz, 10);
  CHECK(mesh.V.rows() == 14);
  CHECK(mesh.F.rows() == 2 * 7 + 1);
  CHECK(mesh.V.allFinite());
  for (Index i = 0; i < 14; ++i) CHECK((mesh.V.row(i) == xyz.row(mesh.pixel[i])));
}

TEST_CASE("maps_to_mesh: throws") {
  const Points xyz = plane(4, 4);
  const Mask mask = Mask::Constant(4, 4, true);
  CHECK_THROWS_AS(maps_to_mesh(xyz.topRows(15), mask, xyz, 10), std::invalid_argument);
  CHECK_THROWS_AS(maps_to_mesh(xyz, mask, xyz.topRows(15), 10), std::invalid_argument);
  CHECK_THROWS_AS(maps_to_mesh(xyz, mask, xyz, 0), std::invalid_argument);
}
