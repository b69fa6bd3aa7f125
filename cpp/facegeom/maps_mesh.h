#pragma once

#include <facegeom/depth_mesh.h>
#include <facegeom/types.h>

namespace facegeom {

struct MapsMesh {
  Points V;       //!< (n, 3)
  Faces F;        //!< (m, 3) counter-clockwise seen from where x grows to the right and y up
  Rows E;         //!< (n, k) embedding
  Indices pixel;  //!< (n,) row-major pixel of each vertex
};

//! A mesh of the pixels whose position is known: two triangles for each 2x2 block of them. \cite pix2vertex
//!
//! A block is divided along the diagonal that leaves more of its triangles, then along the shorter one.
//! Triangles with an edge longer than max_edge are left out, and pixels without a triangle with them.
//! \param xyz (h w, 3) positions of pixels in row-major order, finite where mask is true
//! \param mask (h, w)
//! \param embedding (h w, k), finite where mask is true
//! \param max_edge in the unit of xyz
//! \throw std::invalid_argument on mismatched sizes or max_edge not above 0
MapsMesh maps_to_mesh(PointsIn xyz, MaskIn mask, RowsIn embedding, double max_edge);

}  // namespace facegeom
