"""What a photo says about the look of a mesh: which vertices it shows, their colours, and a texture of them."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np

from facegeom import _check, geometry
from facegeom.camera import Camera
from facegeom.crop import apply_affine, bilinear, crop_affine, crop_image
from facegeom.maps import FaceMaps
from facegeom.template import Template, Topology

FINEST_MM = 0.8  # pixels of the photo finer than this are averaged: vertices are about 1.2 mm apart
LARGEST_CROP = 1024
HIDDEN_MM = 2.0  # a vertex that lies this far behind what the photo shows there is hidden
GRAZING = (0.15, 0.45)  # cosine to the line of sight from which a vertex is seen a little, and fully
SILHOUETTE_MM = 3.0  # within this of the mask's outline a pixel may show hair or background
FILL_TIME_MM2 = 150.0  # colours of what is not seen are blended over about the root of this
UNSEEN_COLORS = {"eyeball_left": 225.0, "eyeball_right": 225.0, "teeth": 215.0}
"""Gray values of what was never seen of the parts behind the skin; the rest there is `INSIDE`."""
INSIDE = (120.0, 55.0, 50.0)


class View:
    """How a photo shows the vertices of a mesh.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    maps : FaceMaps
    camera : Camera, face frame -> photo
    V : (n, 3) float array, mm in the face frame
    topology : Topology
    """

    def __init__(
        self, photo: _check.ByteArray, maps: FaceMaps, camera: Camera, V: _check.FloatArray, topology: Topology
    ) -> None:
        self.topology = topology
        self.maps = maps
        self.photo = photo
        side = maps.step * maps.size
        finest = side / camera.scale / FINEST_MM
        self.crop = crop_image(photo, maps.box, int(np.clip(round(min(side, finest)), maps.size, LARGEST_CROP)))
        self.step = side / len(self.crop)  # pixels of the photo along one of the crop
        self.pixel_mm = self.step / camera.scale
        self.pixel = apply_affine(crop_affine(maps.box, len(self.crop)), camera.project(V))
        self.depth = camera.view(V)[:, 2]
        self.vertices = V
        self.facing = geometry.vertex_normals(V, topology.faces) @ camera.rotation[2]

    @cached_property
    def seen(self) -> _check.FloatArray:
        """How far the photo shows each vertex, (n,) in [0, 1]: 0 hidden, grazing or beyond the mask, 1 in full view."""
        size = self.maps.size
        points = np.column_stack([(self.pixel + 0.5) * (size / len(self.crop)) - 0.5, self.depth])
        fine = 2
        points[:, :2] = (points[:, :2] + 0.5) * fine - 0.5
        nearest = geometry.rasterize(points, self.topology.faces, None, (fine * size, fine * size)).depth
        x, y = np.clip(np.rint(points[:, :2]), 0, fine * size - 1).astype(np.int64).T
        inside = ((self.pixel > 0) & (self.pixel < len(self.crop) - 1)).all(axis=1)
        front = self.depth > np.nan_to_num(nearest[y, x], nan=-np.inf) - HIDDEN_MM
        low, high = GRAZING
        seen = np.clip((self.facing - low) / (high - low), 0.0, 1.0) * (inside & front)
        return np.asarray(seen * np.clip(self.within / SILHOUETTE_MM, 0.0, 1.0))

    @cached_property
    def within(self) -> _check.FloatArray:
        """How far inside the mask's outline each vertex falls, (n,) mm; 0 outside."""
        distance = cv2.distanceTransform(np.pad(self.maps.mask.astype(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        share = (self.pixel + 0.5) / len(self.crop)
        x, y = np.clip(np.rint(share * self.maps.size - 0.5), -1, self.maps.size).astype(np.int64).T
        return np.asarray(distance[y + 1, x + 1] * (self.pixel_mm * len(self.crop) / self.maps.size), np.float64)

    @cached_property
    def colors(self) -> _check.FloatArray:
        """What the photo shows at each vertex's place, (n, 3) in [0, 255], whether it shows the vertex or not."""
        return bilinear(self.crop, self.pixel)

    @cached_property
    def gray(self) -> _check.FloatArray:
        """The same as one gray value, (n,) in [0, 1] (ITU-R BT.601)."""
        return np.asarray(self.colors @ np.array([0.299, 0.587, 0.114]) / 255.0)


def vertex_colors(template: Template, view: View) -> _check.FloatArray:
    """Return colours of the fine vertices, (n, 3) in [0, 255]: the photo's where it shows them.

    Hidden skin takes the colour of its mirror image, moved by as much as both sides differ near by, or where that is
    hidden too, what diffuses from around.
    """
    coarse, fine = template.coarse, template.fine
    skin = coarse.skin_count
    kept = np.r_[0:skin, fine.skin_count : len(view.vertices)]  # the fine vertices that are the coarse ones
    shown, seen = view.colors[kept][:skin], view.seen[kept][:skin, None]
    mirror = coarse.mirror[:skin]
    other, other_seen = shown[mirror], seen[mirror]
    both = seen * other_seen
    sources = np.hstack([seen * shown, seen, both * (shown - other), both])
    V = view.vertices[kept][:skin]
    heat = geometry.heat_smooth(V, coarse.skin_faces, sources, FILL_TIME_MM2, tolerance=1e-3)
    around = heat[:, :3] / np.maximum(heat[:, 3:4], 1e-6)
    around = np.where(heat[:, 3:4] > 1e-4, around, _mean(shown, seen))
    change = heat[:, 4:7] / np.maximum(heat[:, 7:8], 1e-2)
    hidden = other_seen * (other + change) + (1 - other_seen) * around
    behind = _behind(template, view)
    filled = template.carry(np.concatenate([hidden, behind]))
    own = view.seen[:, None]
    return np.asarray(np.clip(own * view.colors + (1 - own) * filled, 0.0, 255.0))


def _behind(template: Template, view: View) -> _check.FloatArray:
    """Return colours for what lies behind the skin, should the photo not show it."""
    coarse = template.coarse
    out = np.tile(INSIDE, (len(template.vertices) - coarse.skin_count, 1))
    for name, gray in UNSEEN_COLORS.items():
        out[coarse.regions[name][coarse.skin_count :]] = gray
    return out


def _mean(values: _check.FloatArray, weights: _check.FloatArray) -> _check.FloatArray:
    total = float(weights.sum())
    return np.asarray((values * weights).sum(axis=0) / total if total > 0 else values.mean(axis=0))


def bake_texture(topology: Topology, view: View, colors: _check.FloatArray, size: int) -> _check.ByteArray:
    """Return the atlas, (size, size, 3) uint8: the photo's pixels where it shows the surface, else the colours.

    Beyond the charts' borders the nearest texel goes on, so that filtering and smaller copies do not bleed.
    """
    corners, unwrapped = np.unique(
        topology.faces.ravel() * len(topology.uv) + topology.uv_faces.ravel(), return_inverse=True
    )
    vertex, row = np.divmod(corners, len(topology.uv))
    u, v = topology.uv[row].T
    places = np.column_stack([u * size - 0.5, (1.0 - v) * size - 0.5, np.zeros(len(row))])
    values = np.hstack([view.pixel, view.seen[:, None], colors])[vertex]
    raster = geometry.rasterize(places, unwrapped.reshape(-1, 3), values, (size, size))
    known = raster.triangle >= 0
    pixel, seen, color = np.split(raster.attributes[known], [2, 3], axis=1)
    side = round(view.maps.step * view.maps.size)  # pixels of the photo, of which no more than the atlas can hold
    crop = crop_image(view.photo, view.maps.box, int(np.clip(side, view.maps.size, 2 * size)))
    pixel = (pixel + 0.5) * (len(crop) / len(view.crop)) - 0.5
    atlas = np.zeros((size, size, 3), np.uint8)
    atlas[known] = np.rint(np.clip(seen * bilinear(crop, pixel) + (1 - seen) * color, 0, 255)).astype(np.uint8)
    labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    texel_of = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    texel_of[labels[known]] = atlas[known]
    return np.asarray(texel_of[labels])
