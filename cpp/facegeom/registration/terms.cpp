#include <facegeom/registration/correspondences.h>
#include <facegeom/registration/robust.h>
#include <facegeom/registration/terms.h>
#include <facegeom/statistics.h>

#include <algorithm>
#include <cmath>

namespace facegeom::registration {

namespace {

//! Minimum ratio of the noise along the normal to the noise along the surface: on a curved surface, noise
//! along the surface also moves points off the surface.
constexpr double kMinNormalShare = 0.25;
//! A correspondence is an outlier beyond six standard deviations: 6^2, for squared deviations.
constexpr double kOutlierLimit = 36;
//! Minimum number of neighbours for an outlier test: the mean of one or two may be the outlier itself.
constexpr double kMinNeighbours = 3;
//! Scale of the robust weight in multiples of the expected squared residual: three standard deviations.
constexpr double kRobustScale = 9;

void add_landmarks(const Problem& problem, double weight, DeformationSystem& system) {
  const Landmarks& landmarks = problem.landmarks;
  for (Index k = 0; k < landmarks.vertex.size(); ++k) {
    const double pull = weight * landmarks.weight[k];
    system.add(landmarks.vertex[k], {pull, 0, 0, pull, 0, pull}, landmarks.place.row(k).data());
  }
}

//! Displacements of the correspondences, and the mean displacement of their neighbours in the target.
struct Displacements {
  Points own;              //!< (c, 3)
  Points neighbour_sum;    //!< (c, 3)
  Vector neighbour_count;  //!< (c,)

  Displacements(const Problem& problem, const State& state) {
    const FacesIn& F = problem.target.F;
    const std::vector<Correspondence>& pairs = state.correspondences;
    std::vector<std::int32_t> pair_of(std::size_t(problem.target.V.rows()), -1);
    own.resize(Index(pairs.size()), 3);
    neighbour_sum = Points::Zero(own.rows(), 3);
    neighbour_count = Vector::Zero(own.rows());
    for (std::size_t k = 0; k < pairs.size(); ++k) {
      pair_of[std::size_t(pairs[k].target_vertex)] = std::int32_t(k);
      own.row(Index(k)) = pairs[k].target_point - value_at(pairs[k], state.X, problem.source.F);
    }
    for (Index f = 0; f < F.rows(); ++f) {
      for (int c = 0; c < 3; ++c) {
        const std::int32_t a = pair_of[std::size_t(F(f, c))];
        const std::int32_t b = pair_of[std::size_t(F(f, (c + 1) % 3))];
        if (a < 0 || b < 0) continue;
        neighbour_sum.row(a) += own.row(b);
        neighbour_count[a] += 1;
      }
    }
  }
};

}  // namespace

Noise estimate_noise(const Problem& problem, State& state) {
  std::vector<Correspondence>& pairs = state.correspondences;
  const Displacements displacements(problem, state);
  std::vector<double> tangential, normal, tested(pairs.size(), 0);
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    const double count = displacements.neighbour_count[Index(k)];
    if (count < 1) continue;
    // The difference of one displacement and the mean of `count` others has 1 + 1 / count times its variance.
    const Eigen::Vector3d r =
        (displacements.own.row(Index(k)) - displacements.neighbour_sum.row(Index(k)) / count) /
        std::sqrt(1 + 1 / count);
    const double offset = value_at(pairs[k], state.N, problem.source.F).normalized().dot(r);
    normal.push_back(offset * offset);
    tangential.push_back(r.squaredNorm() - offset * offset);
    if (count >= kMinNeighbours) tested[k] = r.squaredNorm();
  }
  const double floor = problem.options.noise_floor * state.edge;
  Noise noise;
  noise.tangential = std::max(std::sqrt(upper_median(tangential) / kChiSquaredMedian2), floor);
  noise.normal = std::max(
      {std::sqrt(upper_median(normal) / kChiSquaredMedian1), kMinNormalShare * noise.tangential, floor});
  keep_up_to(kOutlierLimit * (2 * noise.tangential * noise.tangential + noise.normal * noise.normal), tested,
             pairs);
  return noise;
}

void set_embedded_terms(const Problem& problem, const Noise& noise, bool robust, State& state,
                        DeformationSystem& system) {
  std::vector<Correspondence>& pairs = state.correspondences;
  const FacesIn& F = problem.source.F;
  const double tangential = 1 / (noise.tangential * noise.tangential);
  const double across = 1 / (noise.normal * noise.normal);
  std::vector<Eigen::Vector3d> normals(pairs.size());
  std::vector<double> squares(pairs.size());  // residuals in units of the noise
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    const Correspondence& pair = pairs[k];
    Eigen::Vector3d n = value_at(pair, state.N, F);
    // The mean of both normals has no bias towards either side of a curved surface.
    // \cite rusinkiewicz2019symmetric
    if (n.dot(pair.target_normal) > 0) n = n.normalized() + pair.target_normal;
    normals[k] = n.normalized();
    const Eigen::Vector3d r = value_at(pair, state.X, F) - pair.target_point;
    const double offset = normals[k].dot(r);
    squares[k] = tangential * (r.squaredNorm() - offset * offset) + across * offset * offset;
  }
  const double scale = robust_scale(squares, kRobustScale, kRobustScale, kChiSquaredMedian3);
  const double cosine = std::cos(problem.options.max_angle);
  system.clear();
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    Correspondence& pair = pairs[k];
    pair.robust = robust ? geman_mcclure_weight(squares[k], scale) : 1;
    if (value_at(pair, state.N, F).normalized().dot(pair.target_normal) < cosine) pair.robust = 0;
    const double weight = pair.weight();
    system.add(pair.face, pair.barycentric,
               point_plane_matrix(weight * tangential, weight * (across - tangential), normals[k]),
               pair.target_point.data());
  }
  add_landmarks(problem, tangential, system);
}

void set_surface_terms(const Problem& problem, State& state, DeformationSystem& system) {
  std::vector<Correspondence>& pairs = state.correspondences;
  const RegistrationOptions& options = problem.options;
  std::vector<double> squares(pairs.size());
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    squares[k] = (value_at(pairs[k], state.X, problem.source.F) - pairs[k].target_point).squaredNorm();
  }
  const double floor = options.noise_floor * state.edge;
  const double scale = robust_scale(squares, kRobustScale, floor * floor);
  const double limit = options.max_distance * options.max_distance;
  system.clear();
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    Correspondence& pair = pairs[k];
    pair.robust = squares[k] <= limit ? geman_mcclure_weight(squares[k], scale) : 0;
    const double weight = pair.weight();
    const Symmetric3 W =
        point_plane_matrix(weight * options.point_weight, weight * options.plane_weight, pair.target_normal);
    if (pair.face < 0) {
      system.add(pair.vertex, W, pair.target_point.data());
    } else {
      system.add(pair.face, pair.barycentric, W, pair.target_point.data());
    }
  }
  add_landmarks(problem, options.point_weight + options.plane_weight, system);
}

void set_vertex_terms(const Problem& problem, const State& state, DeformationSystem& system) {
  const RegistrationOptions& options = problem.options;
  system.clear();
  for (const Correspondence& pair : state.correspondences) {
    system.add(pair.vertex,
               point_plane_matrix(pair.prior * options.point_weight, pair.prior * options.plane_weight,
                                  pair.target_normal),
               pair.target_point.data());
  }
  add_landmarks(problem, options.point_weight + options.plane_weight, system);
}

}  // namespace facegeom::registration
