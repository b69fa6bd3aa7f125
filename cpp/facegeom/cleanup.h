#pragma once

#include <facegeom/types.h>

namespace facegeom {

//! Part of a mesh: some of its triangles, and the vertices that they use.
struct Submesh {
  Points V;          //!< (k, 3)
  Faces F;           //!< (l, 3) indices into V
  Indices vertices;  //!< (k,) row of each vertex in the original mesh, ascending
};

struct SpikeOptions {
  double area_factor;  //!< a triangle is removed if the logarithm of its area exceeds the median by more than
                       //!< this number of robust deviations; infinity: never
  double edge_factor;  //!< as area_factor, for the logarithm of the longest edge
  double min_component;  //!< minimum triangle count of a kept component / count of the largest component
};

//! Minimum robust deviation of the logarithms. An almost regular mesh has a deviation near 0, and slightly
//! larger triangles would be outliers.
constexpr double kMinDeviation = 0.3;

//! Connected components of the triangles; triangles that share an edge are connected.
//! \param F (m, 3) triangles, indices below vertex_count
//! \param vertex_count number of vertices
//! \return (m,) label of each triangle, numbered from 0 in the order of the first triangle of each component
Indices connected_components(FacesIn F, Index vertex_count);

//! Remove triangles until no vertex joins two fans (sets of triangles connected by edges at the vertex). At
//! each such vertex only the largest fan is kept, the first among equals.
//! \param F (m, 3) triangles, indices below vertex_count
//! \param vertex_count number of vertices
//! \return rows of F that are kept, ascending
Indices unpinched_triangles(FacesIn F, Index vertex_count);

//! Extract triangles and the vertices that they use.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param triangles (l,) rows of F
//! \return the triangles in the given order
Submesh submesh(PointsIn V, FacesIn F, const Indices& triangles);

//! Remove spikes: triangles of outlying size or without area, then all but the largest fan at each vertex,
//! then small components, then unused vertices.
//!
//! A robust deviation is 1.4826 times the median absolute deviation of the logarithm over all triangles of
//! positive area, and at least kMinDeviation.
//! \param V (n, 3) positions
//! \param F (m, 3) triangles, indices below n
//! \param options see SpikeOptions
//! \return the remaining mesh
Submesh remove_spikes(PointsIn V, FacesIn F, const SpikeOptions& options);

}  // namespace facegeom
