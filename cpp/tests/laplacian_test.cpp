#include "helpers.h"

#include <facegeom/laplacian.h>

#include <Eigen/Eigenvalues>
#include <cmath>

using namespace facegeom;
using testing::Mesh;

namespace {

Eigen::MatrixXd dense(const Csr& A) {
  Eigen::MatrixXd out = Eigen::MatrixXd::Zero(A.rows(), A.rows());
  for (Index i = 0; i < A.rows(); ++i) {
    for (std::int32_t s = A.starts[i]; s < A.starts[i + 1]; ++s) out(i, A.columns[s]) = A.values[s];
  }
  return out;
}

double least_eigenvalue(const Eigen::MatrixXd& A) {
  return Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(A, Eigen::EigenvaluesOnly).eigenvalues().minCoeff();
}

}  // namespace

TEST_CASE("uniform_laplacian: degrees on the diagonal, -1 for each edge") {
  const Eigen::MatrixXd L = dense(uniform_laplacian(testing::tetrahedron().F, 5));
  CHECK(L.topLeftCorner(4, 4) == 4 * Eigen::MatrixXd::Identity(4, 4) - Eigen::MatrixXd::Ones(4, 4));
  CHECK(L.row(4).norm() == 0);
}

TEST_CASE("cotangent_laplacian: closed form of an equilateral triangle") {
  Points V(3, 3);
  V << 0, 0, 0, 1, 0, 0, 0.5, std::sqrt(0.75), 0;
  Faces F(1, 3);
  F << 0, 1, 2;
  const Eigen::MatrixXd L = dense(cotangent_laplacian(V, F));
  const double half_cotangent = 0.5 / std::sqrt(3.0);
  CHECK(L(0, 1) == doctest::Approx(-half_cotangent));
  CHECK(L(0, 0) == doctest::Approx(2 * half_cotangent));
}

TEST_CASE("cotangent_laplacian: symmetric, positive semi-definite, constants and scale have no effect") {
  const Mesh mesh = testing::relief(8, 3.0);
  const Eigen::MatrixXd L = dense(cotangent_laplacian(mesh.V, mesh.F));
  CHECK((L - L.transpose()).norm() == 0);
  CHECK(L.rowwise().sum().cwiseAbs().maxCoeff() < 1e-12);
  CHECK(least_eigenvalue(L) > -1e-12);
  CHECK((dense(cotangent_laplacian(1e6 * mesh.V, mesh.F)) - L).norm() < 1e-9);
}

TEST_CASE("cotangent_laplacian: linear functions are harmonic inside a plane") {
  const Mesh mesh = testing::grid(6);
  const Eigen::MatrixXd L = dense(cotangent_laplacian(mesh.V, mesh.F));
  const Eigen::VectorXd image = L * (2 * mesh.V.col(0) - 3 * mesh.V.col(1));
  for (Index y = 1; y < 5; ++y) {
    for (Index x = 1; x < 5; ++x) CHECK(std::abs(image[6 * y + x]) < 1e-12);
  }
}

TEST_CASE("mass_matrix: the sum is the area, also with obtuse and degenerate triangles") {
  Mesh mesh = testing::grid(6);
  CHECK(mass_matrix(mesh.V, mesh.F).sum() == doctest::Approx(25));
  mesh.V.col(0) *= 10;  // obtuse after a shear
  mesh.V.col(0) += 9 * mesh.V.col(1);
  CHECK(mass_matrix(mesh.V, mesh.F).sum() == doctest::Approx(250));
  const Mesh sphere = testing::icosphere(4);
  CHECK(mass_matrix(sphere.V, sphere.F).sum() == doctest::Approx(4 * 3.14159265).epsilon(0.01));
  Points flat = Points::Zero(3, 3);
  Faces F(1, 3);
  F << 0, 1, 2;
  CHECK(mass_matrix(flat, F).sum() == 0);
}

TEST_CASE("bilaplacian: L^T M^-1 L") {
  const Mesh mesh = testing::relief(6, 2.0);
  const Csr L = cotangent_laplacian(mesh.V, mesh.F);
  const Vector mass = mass_matrix(mesh.V, mesh.F);
  const Eigen::MatrixXd A = dense(L);
  const Eigen::MatrixXd expected = A.transpose() * mass.cwiseInverse().asDiagonal() * A;
  const Eigen::MatrixXd K = dense(bilaplacian(L, mass));
  CHECK((K - expected).norm() < 1e-12 * expected.norm());
  CHECK(least_eigenvalue(K) > -1e-10);
}

TEST_CASE("mean_curvature_normals: outward with the length 1 / r on a sphere, zero inside a plane") {
  const Mesh sphere = testing::icosphere(4);
  const Points H = mean_curvature_normals(2 * sphere.V, sphere.F);
  CHECK((H - 0.5 * sphere.V).rowwise().norm().maxCoeff() < 0.02);
  const Faces reversed = sphere.F.rowwise().reverse();
  CHECK((mean_curvature_normals(2 * sphere.V, reversed) - H).norm() < 1e-12);
  const Mesh plane = testing::grid(5);
  CHECK(mean_curvature_normals(plane.V, plane.F).row(12).norm() < 1e-14);
}

TEST_CASE("multiply: product of a matrix in compressed rows") {
  const Mesh mesh = testing::relief(5, 1.0);
  const Csr L = cotangent_laplacian(mesh.V, mesh.F);
  const Rows x = testing::normal_values(25, 4, 2);
  CHECK((multiply(L.starts, L.columns, L.values, x) - dense(L) * x).norm() < 1e-12);
}

TEST_CASE("multiply: throws if starts, columns or values are inconsistent") {
  const Csr L = uniform_laplacian(testing::tetrahedron().F, 4);
  const Rows x = Rows::Ones(4, 1);
  Slots starts = L.starts, columns = L.columns;
  CHECK_THROWS_AS(multiply(L.starts, L.columns, L.values.head(3), x), std::invalid_argument);
  CHECK_THROWS_AS(multiply(Slots(0), L.columns, L.values, x), std::invalid_argument);
  starts[0] = 1;
  CHECK_THROWS_AS(multiply(starts, L.columns, L.values, x), std::invalid_argument);
  starts = L.starts;
  starts[2] = 1;
  CHECK_THROWS_AS(multiply(starts, L.columns, L.values, x), std::invalid_argument);
  starts[2] = 99;
  CHECK_THROWS_AS(multiply(starts, L.columns, L.values, x), std::invalid_argument);
  columns[0] = 4;
  CHECK_THROWS_AS(multiply(L.starts, columns, L.values, x), std::invalid_argument);
  columns[0] = -1;
  CHECK_THROWS_AS(multiply(L.starts, columns, L.values, x), std::invalid_argument);
  CHECK_THROWS_AS(multiply(L.starts, L.columns, L.values, Rows::Ones(3, 1)), std::invalid_argument);
}

TEST_CASE("laplacians: throw for a mesh that is too large for 32-bit indices") {
  const Faces none(0, 3);
  CHECK_THROWS_AS(uniform_laplacian(none, testing::kTooManyRows), std::invalid_argument);
  CHECK_THROWS_AS(cotangent_laplacian(testing::unreadable<Points>(testing::kTooManyRows, 3), none),
                  std::invalid_argument);
}
