#include "helpers.h"

#include <facegeom/normals.h>
#include <facegeom/registration/registration.h>
#include <facegeom/registration/robust.h>
#include <facegeom/registration/system.h>
#include <facegeom/registration/unfold.h>

#include <cmath>
#include <limits>

using namespace facegeom;
using testing::Mesh;

namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr double kDegrees = 3.14159265358979 / 180;

RegistrationOptions defaults() {
  return {Matching::kSurface, StartAlignment::kAffine, 0.1,  1,    10,  1e6,  1e-6,  0.2, 0.03, 0.88,
          kInfinite,          60 * kDegrees,           1e-3, 0.01, 500, 0.05, 40000, 60,  1e-3, 0};
}

//! Displaced by a few units, smoothly.
Points bent(const Points& V, double amount) {
  Points out = V;
  for (Index i = 0; i < V.rows(); ++i) {
    const double x = V(i, 0) / 20, y = V(i, 1) / 20;
    out.row(i) +=
        amount * Eigen::RowVector3d(0.8 * std::sin(3 * y), 1.2 * y * std::sin(2 * x), std::sin(4 * x));
  }
  return out;
}

//! A template, a target and the options; registered by run().
struct Case {
  Points V;
  Faces F;
  Rows E;
  Points target_V;
  Faces target_F;
  Rows target_E;
  Landmarks landmarks{Indices(0), Points(0, 3), Vector(0)};
  Vector weights = Vector::Ones(V.rows());
  RegistrationOptions options = defaults();
  Progress progress = {};

  Registration run() const {
    return register_nonrigid({V, F, E}, {target_V, target_F, target_E}, options, landmarks, weights,
                             progress);
  }
};

//! A relief and its bent copy, with the positions as embeddings; or without, for embedded = false.
Case face(double amount, bool embedded = true) {
  const Mesh mesh = testing::relief(21, 5.0);
  const Rows E = embedded ? Rows(mesh.V) : Rows(mesh.V.rows(), 0);
  return {mesh.V, mesh.F, E, bent(mesh.V, amount), mesh.F, E};
}

//! A shape with two lobes and bumps, and its turned, bent copy, without embeddings.
Case blob() {
  const Mesh sphere = testing::icosphere(3);
  Points V = sphere.V, target_V = sphere.V;
  for (Index i = 0; i < V.rows(); ++i) {
    const double x = V(i, 0), y = V(i, 1), z = V(i, 2);
    const double bumps =
        0.15 * std::sin(4 * x + 1) * std::cos(5 * y) * std::cos(4 * z) + 0.1 * std::sin(7 * y + 3 * z);
    V.row(i) *= 40 * (1 + 0.7 * z * z + 0.15 * z + bumps);
    V(i, 1) *= 0.8;
    const Eigen::RowVector3d wave(std::sin(V(i, 1) / 25), std::sin(V(i, 2) / 30 + 1), std::cos(V(i, 0) / 28));
    target_V.row(i) = V.row(i) + 8 * wave;
  }
  const Eigen::Matrix3d turn = Eigen::AngleAxisd(20 * kDegrees, Eigen::Vector3d::UnitY()).toRotationMatrix();
  const Rows none(V.rows(), 0);
  return {V, sphere.F, none, target_V * turn.transpose(), sphere.F, none};
}

double mean_error(const Points& V, const Points& truth) { return (V - truth).rowwise().norm().mean(); }

}  // namespace

TEST_CASE("register_nonrigid: finds a known deformation by embeddings") {
  const Case given = face(1.5);
  const Registration found = given.run();
  CHECK(found.converged);
  CHECK(mean_error(found.V, given.target_V) < 0.03);
  const Points N = face_normals(found.V, given.F), truth = face_normals(given.target_V, given.F);
  CHECK(N.cwiseProduct(truth).rowwise().sum().minCoeff() > 0);
  for (Index i = 0; i < given.V.rows(); ++i) {
    if (found.match[i] >= 0) CHECK((given.E.row(found.match[i]) - given.E.row(i)).norm() < 2);
  }
  CHECK((found.match.array() >= 0).count() > 400);
}

TEST_CASE("register_nonrigid: an affine target is reached exactly") {
  Case given = face(0);
  Eigen::Matrix3d A = testing::rotation(2);
  A *= Eigen::Vector3d(1.2, 0.9, 1.1).asDiagonal();
  given.target_V = (given.V * A.transpose()).rowwise() + Eigen::RowVector3d(5, 6, 7);
  CHECK((given.run().V - given.target_V).rowwise().norm().maxCoeff() < 1e-6);
}

TEST_CASE("register_nonrigid: outliers are rejected") {
  Case given = face(1);
  const Points truth = given.target_V;
  for (Index i = 7; i < given.V.rows(); i += 31) given.target_V(i, 2) += 30;
  CHECK((given.run().V - truth).rowwise().norm().maxCoeff() < 0.6);
}

TEST_CASE("register_nonrigid: landmarks are reached; weight 0 ignores matches") {
  Case given = face(1);
  given.landmarks = {Indices::Constant(1, 220), given.target_V.row(220) + Eigen::RowVector3d(0, 0, 1),
                     Vector::Constant(1, 1e4)};
  CHECK((given.run().V.row(220) - given.landmarks.place).norm() < 0.05);
  given = face(1);
  given.weights.tail(221).setZero();
  const Registration found = given.run();
  CHECK((found.match.tail(200).array() == -1).all());
  CHECK((found.kind.tail(200).array() == 0).all());
}

TEST_CASE("register_nonrigid: finds a turned and deformed shape without embeddings") {
  const Case given = blob();
  const Registration found = given.run();
  const double size = (given.V.colwise().maxCoeff() - given.V.colwise().minCoeff()).norm();
  CHECK(mean_error(found.V, given.target_V) < 0.005 * size);
  CHECK(found.history.back().kind == MatchKind::kPhysical);
}

TEST_CASE("register_nonrigid: a shape registered to itself does not move") {
  Case given = blob();
  given.target_V = given.V;
  CHECK((given.run().V - given.V).rowwise().norm().maxCoeff() < 0.05);
}

TEST_CASE("register_nonrigid: the paper's loop ends by its stiffness and matches each vertex") {
  Case given = face(0.3);
  given.options.matching = Matching::kVertex;
  given.options.stiffness = 1e8;
  given.options.max_distance = 1;
  given.options.motion_tolerance = 0.1;
  given.options.max_angle = 20 * kDegrees;
  given.options.max_iterations = 100;
  const Registration found = given.run();
  CHECK(found.converged);
  CHECK(found.history.front().kind == MatchKind::kEmbedding);
  CHECK(found.history.back().stiffness >= 1e6);
  CHECK(mean_error(found.V, given.target_V) < 0.3);
}

TEST_CASE("register_nonrigid: the same bits every time") {
  for (const Case& given : {face(1), blob()}) CHECK(given.run().V == given.run().V);
}

TEST_CASE("register_nonrigid: the callback sees each iteration and cancels") {
  for (Case given : {face(1), blob()}) {
    Index calls = 0;
    given.progress = [&calls](const RegistrationStep&) { return ++calls < 2; };
    const Registration found = given.run();
    CHECK(calls == 2);
    CHECK(found.history.size() == 2);
    CHECK_FALSE(found.converged);
    CHECK(found.reason == "cancelled by the progress callback");
  }
}

TEST_CASE("register_nonrigid: the limit of iterations is no convergence") {
  Case given = blob();
  given.options.max_iterations = 1;
  const Registration found = given.run();
  CHECK_FALSE(found.converged);
  CHECK(found.reason == "the limit of iterations was reached");
}

TEST_CASE("register_nonrigid: throws for meshes without triangles and embeddings of different dimensions") {
  Case given = face(1);
  given.F.resize(0, 3);
  CHECK_THROWS_AS(given.run(), std::invalid_argument);
  given = face(1);
  given.target_F.resize(0, 3);
  CHECK_THROWS_AS(given.run(), std::invalid_argument);
  given = face(1);
  given.target_E.conservativeResize(Eigen::NoChange, 2);
  CHECK_THROWS_AS(given.run(), std::invalid_argument);
  given.target_E.conservativeResize(Eigen::NoChange, 0);
  CHECK_THROWS_AS(given.run(), std::invalid_argument);
}

TEST_CASE("register_nonrigid: throws if too few points correspond") {
  Case given = face(1);
  given.target_E.array() += 1e6;  // all project to the boundary
  CHECK_THROWS_AS(given.run(), std::invalid_argument);
  given = face(1);
  given.weights.setZero();
  CHECK_THROWS_AS(given.run(), std::invalid_argument);
  given = blob();
  given.weights.setZero();
  given.options.alignment = StartAlignment::kNone;
  CHECK_THROWS_AS(given.run(), std::invalid_argument);
  given = face(1);
  given.options.matching = Matching::kVertex;
  given.target_V *= 100;  // a stretched target has no inliers within 3 mm
  for (Index i = 0; i < given.V.rows(); ++i) given.target_V.row(i) *= double(1 + i % 7);
  given.options.alignment = StartAlignment::kRigid;
  CHECK_THROWS_AS(given.run(), std::invalid_argument);
}

TEST_CASE("register_nonrigid: throws if the points do not determine the alignment") {
  Case given = face(0);
  given.V.col(2).setZero();  // a plane
  given.target_V.col(2).setZero();
  CHECK_THROWS_AS(given.run(), std::invalid_argument);
}

TEST_CASE("register_nonrigid: throws SolverError if the factorisation or the iterations fail") {
  Case given = face(1);
  given.options.stiffness = -1e6;
  CHECK_THROWS_AS(given.run(), SolverError);
}

TEST_CASE("geman_mcclure_weight: prior at 0, a quarter of it at the scale") {
  using registration::geman_mcclure_weight;
  CHECK(geman_mcclure_weight(0, 9, 3) == 3);
  CHECK(geman_mcclure_weight(9, 9) == 0.25);
  CHECK(geman_mcclure_weight(1e9, 1) < 1e-15);
}

TEST_CASE("robust_scale: a multiple of the median, at least the floor") {
  using registration::robust_scale;
  CHECK(robust_scale({1, 100, 4}, 9, 0) == 36);
  CHECK(robust_scale({1, 100, 4}, 9, 0, 2) == 18);
  CHECK(robust_scale({1, 100, 4}, 9, 50) == 50);
  CHECK(robust_scale({}, 9, 0.5) == 0.5);
}

TEST_CASE("chi-squared medians: half of the squared norms of normal vectors are below them") {
  const double medians[] = {registration::kChiSquaredMedian1, registration::kChiSquaredMedian2,
                            registration::kChiSquaredMedian3};
  for (Index d = 1; d <= 3; ++d) {
    const Vector squares = testing::normal_values(40000, d, unsigned(d)).rowwise().squaredNorm();
    const double share = double((squares.array() < medians[d - 1]).count()) / 40000;
    CHECK(share == doctest::Approx(0.5).epsilon(0.02));
  }
}

TEST_CASE("DeformationSystem: without a thin plate each attracted vertex reaches its position") {
  const Mesh mesh = testing::relief(5, 1.0);
  registration::DeformationSystem system(mesh.V, mesh.F);
  const registration::Symmetric3 identity{1, 0, 0, 1, 0, 1};
  const Points goal = bent(mesh.V, 1);
  for (Index i = 0; i < 25; ++i) system.add(i, identity, goal.row(i).data());
  system.factorize(1e-9);
  Points X = mesh.V;
  CHECK(system.solve(1e-9, 1e-9, 100, X) > 0);
  CHECK((X - goal).norm() < 1e-6);
}

TEST_CASE("DeformationSystem: a point of a triangle is attracted; the minimum has no gradient") {
  const Mesh mesh = testing::relief(6, 1.0);
  registration::DeformationSystem system(mesh.V, mesh.F);
  const double middle[3] = {0.2, 0.3, 0.5}, place[3] = {2, 2, 4};
  const Eigen::Vector3d normal = Eigen::Vector3d(1, 2, 3).normalized();
  const registration::Symmetric3 W = registration::point_plane_matrix(0.5, 2, normal);
  system.add(20, middle, W, place);
  for (const Index corner : {0, 5, 30, 35}) system.add(corner, {9, 0, 0, 9, 0, 9}, mesh.V.row(corner).data());
  system.factorize(0.1);
  Points X = mesh.V;
  system.solve(0.1, 1e-12, 1000, X);
  const auto energy = [&](const Points& at) {
    Eigen::Vector3d r = -Eigen::Vector3d(place[0], place[1], place[2]);
    for (int k = 0; k < 3; ++k) r += middle[k] * at.row(mesh.F(20, k)).transpose();
    double sum = 0.5 * r.squaredNorm() + 2 * std::pow(normal.dot(r), 2);
    for (const Index corner : {0, 5, 30, 35}) sum += 9 * (at.row(corner) - mesh.V.row(corner)).squaredNorm();
    return sum + 0.1 * system.thin_plate_energy(at);
  };
  const double least = energy(X);
  CHECK(least < energy(mesh.V));
  for (unsigned seed = 0; seed < 20; ++seed) {
    CHECK(energy(X + 1e-3 * Points(testing::normal_values(36, 3, seed))) > least);
  }
}

TEST_CASE("DeformationSystem: a constant displacement has no thin-plate energy") {
  const Mesh mesh = testing::relief(7, 2.0);
  registration::DeformationSystem system(mesh.V, mesh.F);
  CHECK(std::abs(system.thin_plate_energy(mesh.V.rowwise() + Eigen::RowVector3d(1, 2, 3))) < 1e-9);
  CHECK(system.thin_plate_energy(bent(mesh.V, 1)) > 0);
}

TEST_CASE("DeformationSystem: throws SolverError") {
  const Mesh mesh = testing::relief(6, 1.0);
  registration::DeformationSystem system(mesh.V, mesh.F);
  const double place[3] = {9, 9, 9};
  system.add(3, {1, 0, 0, 1, 0, 1}, place);
  CHECK_THROWS_AS(system.factorize(-1), SolverError);
  CHECK_THROWS_AS(system.factorize(kInfinite), SolverError);
  system.factorize(1);
  Points X = mesh.V;
  CHECK_THROWS_AS(system.solve(1, 1e-12, 0, X), SolverError);
}

TEST_CASE("unfold: a folded vertex returns to the rest shape, others do not move") {
  const Mesh mesh = testing::grid(11);
  Points X = 2 * mesh.V;
  X.row(60) += Eigen::RowVector3d(5, 0, 0);  // beyond its neighbours: triangles fold over
  CHECK(registration::unfold(mesh.V, mesh.F, 1.75, X) == 0);
  CHECK((X.row(60) - 2 * mesh.V.row(60)).norm() < 1);
  CHECK(face_normals(X, mesh.F).col(2).minCoeff() > 0);
  CHECK(X.row(0) == 2 * mesh.V.row(0));
  Points unchanged = 2 * mesh.V;
  CHECK(registration::unfold(mesh.V, mesh.F, 1.75, unchanged) == 0);
  CHECK(unchanged == 2 * mesh.V);
}
