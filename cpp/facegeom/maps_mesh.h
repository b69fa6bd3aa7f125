#pragma once

#include <facegeom/depth_mesh.h>
#include <facegeom/types.h>

namespace facegeom {

struct MapsMesh {
  Points V;       //!< (n, 3)
  Faces F;        //!< (m, 3) counter-clockwise when viewed with x to the right and y up
  Rows E;         //!< (n, k) embedding
  Indices pixel;  //!< (n,) row-major pixel of each vertex
};

//! A mesh of the pixels whose position is known: two triangles for each 2 x 2 block of known pixels.
//! \cite sela2017unrestricted supplement B.1
//!
//! A block is divided along the diagonal that keeps more triangles, or else along the shorter diagonal.
//! Triangles with an edge longer than max_edge are omitted, and also pixels that are then in no triangle.
//! \param xyz (h w, 3) positions of the pixels in row-major order, finite where mask is true
//! \param mask (h, w) known pixels
//! \param embedding (h w, k), finite where mask is true
//! \param max_edge maximum edge length, in the unit of xyz
//! \return the mesh
//! \throw std::invalid_argument if the sizes differ, max_edge is not above 0, or a value of the mesh is not
//! finite
MapsMesh maps_to_mesh(PointsIn xyz, MaskIn mask, RowsIn embedding, double max_edge);

}  // namespace facegeom
