#pragma once

#include <facegeom/border.h>
#include <facegeom/closest_point.h>
#include <facegeom/nearest.h>
#include <facegeom/normals.h>
#include <facegeom/registration.h>
#include <facegeom/warp_system.h>

#include <memory>
#include <vector>

namespace facegeom {

constexpr int kMostSolverIterations = 2000;
//! A fold is an edge that has turned by more than this since rest.
constexpr double kFold = 1.75;

//! Whether a surface point lies on the border: what lies beyond projects there.
bool on_border(const SurfacePoint& point, FacesIn F, const std::vector<char>& border);
//! Of the values, which are put in another order; 0 for none.
double median(std::vector<double>& values);
//! Values of the corners, mixed by weight.
inline Eigen::Vector3d mixed(PointsIn P, FacesIn F, Index face, const double* weight) {
  return weight[0] * P.row(F(face, 0)) + weight[1] * P.row(F(face, 1)) + weight[2] * P.row(F(face, 2));
}
//! a I + b n n^T
Symmetric3 spread(double a, double b, const Eigen::Vector3d& n);
//! \pre start is not kNone
Alignment alignment_of(StartAlignment start);

//! A point of the template and the place on the target that it belongs to.
struct Pair {
  Index face;    //!< of the template; -1: the vertex `vertex`
  Index vertex;  //!< of the template: the corner of greatest weight
  double weight[3];
  Eigen::Vector3d place, normal;  //!< on the target
  Index target;                   //!< target vertex
  double prior;                   //!< weight that comes from outside
  double use;                     //!< robust weight in [0, 1]
};

//! What the three loops of register_nonrigid share; each object runs one of them, once.
class Registrar {
 public:
  Registrar(const EmbeddedMesh& source, const EmbeddedMesh& target, const RegistrationOptions& options,
            const Landmarks& landmarks, VectorIn weights, const Progress& progress)
      : source_(source),
        target_(target),
        options_(options),
        landmarks_(landmarks),
        weights_(weights),
        progress_(progress),
        n_(source.V.rows()),
        target_N_(vertex_normals(target.V, target.F)),
        border_(border_vertices(source.F, n_)),
        target_border_(border_vertices(target.F, target.V.rows())) {
    edge_ = mean_edge();
    out_.match = Indices::Constant(n_, -1);
    out_.kind = Eigen::Matrix<std::int32_t, -1, 1>::Zero(n_);
  }

  Registration by_vertices();
  Registration by_embedded_surface();
  Registration by_surface();

 private:
  double mean_edge() const {
    double sum = 0;
    for (Index f = 0; f < source_.F.rows(); ++f) {
      for (int k = 0; k < 3; ++k) {
        sum += (source_.V.row(source_.F(f, k)) - source_.V.row(source_.F(f, (k + 1) % 3))).norm();
      }
    }
    return sum / double(std::max<Index>(1, 3 * source_.F.rows()));
  }

  Eigen::Vector3d point(const Pair& pair) const {
    if (pair.face < 0) return X_.row(pair.vertex).transpose();
    return mixed(X_, source_.F, pair.face, pair.weight);
  }
  Eigen::Vector3d normal(const Pair& pair) const {
    if (pair.face < 0) return N_.row(pair.vertex).transpose();
    return mixed(N_, source_.F, pair.face, pair.weight);
  }

  void start(PointsIn aligned) {
    X_ = aligned;
    before_ = X_;
    N_ = vertex_normals(X_, source_.F);
    system_ = std::make_unique<WarpSystem>(X_, source_.F);
  }

  void add_landmarks(double weight) {
    for (Index k = 0; k < landmarks_.vertex.size(); ++k) {
      const double pull = weight * landmarks_.weight[k];
      system_->add(landmarks_.vertex[k], {pull, 0, 0, pull, 0, pull}, landmarks_.place.row(k).data());
    }
  }

  Points align_pairs();
  void embed_pairs();
  void estimate_noise();
  void weigh_embedded(bool robust);
  AffineMap align_surfaces(const TriangleTree& tree) const;
  void bend(const TriangleTree& tree);
  void pair_surfaces(const TriangleTree& tree);
  void weigh_surfaces();
  Index pair_vertices(const Nearest& found, const Points& places);
  void record_matches(MatchKind kind);
  void measure(RegistrationStep& step);
  bool finish_step(RegistrationStep step);

  const EmbeddedMesh& source_;
  const EmbeddedMesh& target_;
  const RegistrationOptions& options_;
  const Landmarks& landmarks_;
  VectorIn weights_;
  const Progress& progress_;
  Index n_;
  double edge_ = 0;  // mean length in the template
  Points target_N_;
  std::vector<char> border_, target_border_;
  std::vector<Pair> pairs_;
  std::vector<double> scratch_;
  double tangent_noise_ = 0, normal_noise_ = 0;
  Points X_, N_, before_;
  std::unique_ptr<WarpSystem> system_;
  Registration out_;
};

}  // namespace facegeom
