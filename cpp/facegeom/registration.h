#pragma once

#include <facegeom/alignment.h>
#include <facegeom/types.h>

#include <functional>
#include <string>
#include <vector>

namespace facegeom {

//! A triangle mesh and, in `E`, the embedding of each of its vertices: (n, d), or (n, 0) for none.
struct EmbeddedMesh {
  PointsIn V;
  FacesIn F;
  RowsIn E;
};

enum class Matching {
  kSurface,  //!< points of one surface to the other, weighted by how well they agree
  kVertex    //!< each template vertex to one target vertex, kept or rejected \cite pix2vertex
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
  double max_distance, max_angle;  // radians
  double motion_tolerance, inner_tolerance;
  Index switch_matches;
  double noise_floor;
  Index max_samples;
  int max_iterations;
  double solver_tolerance;
  std::uint64_t seed;
};

//! One outer iteration.
struct RegistrationStep {
  MatchKind kind;
  Index matches;     //!< pairs in use
  double stiffness;  //!< in the unit of the options
  double point_energy, plane_energy, membrane_energy;
  double motion;          //!< root mean square over the vertices
  int solver_iterations;  //!< of conjugate gradients
};

//! Vertices of the template that must reach given places.
struct Landmarks {
  Indices vertex;  //!< (k,)
  Points place;    //!< (k, 3)
  Vector weight;   //!< (k,) pull in numbers of ordinary matches
};

struct Registration {
  Points V;                                 //!< (n, 3)
  Indices match;                            //!< (n,) target vertex, -1: none
  Eigen::Matrix<std::int32_t, -1, 1> kind;  //!< (n,) a MatchKind
  std::vector<RegistrationStep> history;
  bool converged = false;
  std::string reason;
};

//! Called after each outer iteration; false cancels.
using Progress = std::function<bool(const RegistrationStep&)>;

//! Deform the template so that it lies on the target.
//!
//! \param weights (n,) of the template's vertices, at least 0
//! \throw std::invalid_argument if the target has no triangles, the embeddings differ in dimension or only
//! one is given, or too few points correspond for the alignment
//! \throw SolverError if a linear solve fails
//! Sequential: the same bits whatever the number of threads.
Registration register_nonrigid(const EmbeddedMesh& source, const EmbeddedMesh& target,
                               const RegistrationOptions& options, const Landmarks& landmarks,
                               VectorIn weights, const Progress& progress);

}  // namespace facegeom
