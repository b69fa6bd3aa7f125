#pragma once

#include <facegeom/types.h>

namespace facegeom {

using Mask = Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MaskIn = Eigen::Ref<const Mask>;

struct DepthMesh {
  Points V;       //!< (n, 3) mm, x right, y up, z = depth
  Faces F;        //!< (m, 3) counter-clockwise when viewed from +z
  Points2 pixel;  //!< (n, 2) position of each vertex in the map: x, y (down), pixel centres at integers
};

struct DepthMeshOptions {
  double scale;               //!< pixels per mm
  double origin_x, origin_y;  //!< position in pixels that becomes x = y = 0 of the mesh
  Index vertex_count;         //!< target number; reached within a few per cent unless limited by kMinSpacing
  bool background;            //!< keep the triangles outside the mask, up to the convex hull
};

//! Minimum distance between vertices, in pixels.
constexpr double kMinSpacing = 0.25;

//! A mesh of the foreground of a depth map. The vertices lie on a regular triangular lattice in the image.
//! \cite avola2024facevision section 3.2
//!
//! The outline is the contour half-way between foreground and background pixel centres, smoothed by less than
//! half a pixel and sampled at the spacing of the lattice; the lattice fills the inside. The points of both
//! are triangulated (Delaunay), and triangles with a centroid or an inner edge outside the contour are
//! removed. Each vertex gets the depth, interpolated bilinearly over the foreground and a ring of pixels
//! around it, whose depth is extrapolated (by at most 1 mm per mm). Foreground pixels in no 2 x 2 block of
//! foreground are omitted. An empty mask gives an empty mesh.
//! \param depth (h, w) mm, finite where mask is true
//! \param mask (h, w) foreground
//! \param options see DepthMeshOptions
//! \return the mesh
//! \throw std::invalid_argument if the shapes differ, the map has more than kMaxPixels, the depth is not
//! finite where mask is true, a number is out of its range, or vertex_count is below 3
DepthMesh depth_to_mesh(RowsIn depth, MaskIn mask, const DepthMeshOptions& options);

}  // namespace facegeom
