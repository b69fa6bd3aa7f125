#pragma once

#include <facegeom/alignment.h>
#include <facegeom/types.h>

#include <functional>
#include <string>
#include <vector>

namespace facegeom {

//! A triangle mesh and the embedding of its vertices.
struct EmbeddedMesh {
  PointsIn V;  //!< (n, 3)
  FacesIn F;   //!< (m, 3)
  RowsIn E;    //!< (n, d) embedding, or (n, 0) for none
};

enum class Matching {
  kSurface,  //!< match points of each surface with points of the other, with robust weights
  kVertex    //!< match each template vertex with one target vertex or none \cite sela2017unrestricted
};

enum class MatchKind : std::int32_t { kNone = 0, kEmbedding = 1, kPhysical = 2 };

enum class StartAlignment { kNone, kAffine, kSimilarity, kRigid };

//! See geometry.RegistrationOptions, which documents each field and its default.
struct RegistrationOptions {
  Matching matching;
  StartAlignment alignment;
  double point_weight, plane_weight;
  double stiffness, least_stiffness, stiffness_unit;
  double reach, least_reach, reach_decay;
  double max_distance, max_angle;  // max_angle in radians
  double motion_tolerance, inner_tolerance;
  Index switch_matches;
  double noise_floor;
  Index max_samples;
  int max_iterations;
  double solver_tolerance;
  std::uint64_t seed;
};

//! Statistics of one outer iteration.
struct RegistrationStep {
  MatchKind kind;
  Index matches;                 //!< number of correspondences
  double stiffness;              //!< stiffness as in the options; without embeddings: the smoothing length
  double point_energy = 0;       //!< weighted sum of squared distances
  double plane_energy = 0;       //!< weighted sum of squared distances to the tangent planes
  double thin_plate_energy = 0;  //!< integral of the squared Laplacian of the displacement
  double motion = 0;             //!< root mean square motion of the vertices in this iteration
  int solver_iterations = 0;     //!< number of conjugate gradient iterations
};

//! Template vertices with prescribed positions.
struct Landmarks {
  Indices vertex;  //!< (k,) index of the template vertex
  Points place;    //!< (k, 3) prescribed position
  Vector weight;   //!< (k,) weight, as a multiple of the weight of one ordinary match
};

struct Registration {
  Points V;                                 //!< (n, 3) deformed template
  Indices match;                            //!< (n,) target vertex, -1: none
  Eigen::Matrix<std::int32_t, -1, 1> kind;  //!< (n,) a MatchKind
  std::vector<RegistrationStep> history;
  bool converged = false;
  std::string reason;   //!< why the iterations ended
  AffineMap alignment;  //!< map that aligned the template before the deformation
};

//! Called after each outer iteration; returning false cancels the registration.
using Progress = std::function<bool(const RegistrationStep&)>;

//! Deform a template so that it lies on a target.
//!
//! Vertices at exactly the same position move as one vertex, so that split vertices stay together. Vertices
//! that are in no triangle have no influence; they are moved by the alignment only.
//!
//! The computation is sequential: the result is bit-identical for any number of threads.
//! \param source the template
//! \param target the surface to reach
//! \param options see geometry.RegistrationOptions
//! \param landmarks vertices of triangles, finite places. From three landmarks on, their similarity is the
//! start of an alignment by shape. If a landmark ends far from its place, the result is not marked as
//! converged.
//! \param weights (n,) weight of the matches of each template vertex, at least 0
//! \param progress may be empty
//! \throw std::invalid_argument if a mesh has no triangles, sizes are inconsistent, the embeddings differ in
//! dimension, or too few points correspond for the alignment, a landmark is in
//! no triangle, or the normals of template and target are opposed
//! \throw SolverError if a linear solve fails
Registration register_nonrigid(const EmbeddedMesh& source, const EmbeddedMesh& target,
                               const RegistrationOptions& options, const Landmarks& landmarks,
                               VectorIn weights, const Progress& progress);

}  // namespace facegeom
