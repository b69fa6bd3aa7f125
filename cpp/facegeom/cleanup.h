#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! What is left of a mesh: triangles over the vertices that they use, and which vertices of the input those
//! are.
struct Submesh {
  Points V;
  Faces F;
  Indices vertices;  //!< ascending rows of the input's V
};

struct SpikeOptions {
  double area_factor;    //!< robust deviations of log area above the median from which a triangle goes;
                         //!< infinity: never
  double edge_factor;    //!< the same for the log of its longest edge
  double min_component;  //!< components with fewer triangles than this share of the largest go
};

//! Label of the edge-connected component of each triangle: (m,), counted from 0 by first triangle.
//! \pre indices of F lie in [0, vertex_count)
Indices connected_components(FacesIn F, Index vertex_count);

//! The triangles that remain when at each vertex only the largest fan of edge-connected triangles is kept
//! (the first of equals), repeated until no vertex joins two fans: ascending rows of F.
//! \pre indices of F lie in [0, vertex_count)
Indices unpinched_triangles(FacesIn F, Index vertex_count);

//! The given triangles of a mesh with the vertices that they use.
Submesh submesh(PointsIn V, FacesIn F, const Indices& triangles);

//! Removes triangles of outlying size, then pinched fans, then small components, then unused vertices.
//! A deviation is 1.4826 times the median absolute deviation of the logarithm over all triangles of positive
//! area, at least kLeastDeviation; triangles without area are removed as well.
//! \pre indices of F lie in [0, number of vertices)
Submesh remove_spikes(PointsIn V, FacesIn F, const SpikeOptions& options);

//! Floor of the robust deviation of the logarithms, so that an even mesh does not lose what is merely a
//! little uneven.
constexpr double kLeastDeviation = 0.3;

}  // namespace facegeom
