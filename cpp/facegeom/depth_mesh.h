#pragma once

#include <facegeom/types.h>

namespace facegeom {

using Mask = Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MaskIn = Eigen::Ref<const Mask>;

struct DepthMesh {
  Points V;       //!< (n, 3) mm, x right, y up, z = depth
  Faces F;        //!< (m, 3) counter-clockwise seen from +z
  Points2 pixel;  //!< (n, 2) where each vertex lies in the map: x, y (down), pixel centres at integers
};

struct DepthMeshOptions {
  double scale;               //!< pixels per mm
  double origin_x, origin_y;  //!< pixel that becomes x = y = 0
  Index vertex_count;         //!< aimed at; met within a few per cent unless the spacing hits kLeastSpacing
  bool background;            //!< keep the triangles that lie outside the mask (the rest of the convex hull)
};

//! Finest spacing of the vertices in pixels.
constexpr double kLeastSpacing = 0.25;

//! A mesh of the foreground of a depth map, with vertices as evenly spread in the image as a staggered
//! lattice.
//!
//! The outline is the mask's contour half-way between foreground and background pixel centres, its steps
//! smoothed by less than half a pixel, sampled at the lattice's spacing; the lattice fills the inside. The
//! Delaunay triangulation of both loses the triangles whose centroid or whose inner edges lie outside the
//! contour, and is raised to the depth, read bilinearly from the foreground; the ring of pixels around it is
//! extrapolated (at most 1 mm of depth per mm across). Foreground pixels that belong to no 2x2 block of
//! foreground are left out. An empty mask gives an empty mesh.
//! \param depth (h, w) mm, finite where mask is true
//! \param mask (h, w)
//! \throw std::invalid_argument if the shapes differ, the scale is not positive or vertex_count is below 3
DepthMesh depth_to_mesh(RowsIn depth, MaskIn mask, const DepthMeshOptions& options);

}  // namespace facegeom
