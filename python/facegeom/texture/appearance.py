"""What a photo says about the look of a mesh: which vertices it shows, their colours, and a texture of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template, Topology
from facegeom.images.camera import Camera
from facegeom.images.crop import Crop
from facegeom.images.face_maps import FaceMaps
from facegeom.images.sampling import bilinear, distance_inside

FINEST_MM = 0.8  # pixels of the photo finer than this are averaged: vertices are about 1.2 mm apart
LARGEST_CROP = 1024
HIDDEN_MM = 2.0  # a vertex that lies this far behind what the photo shows there is hidden
GRAZING = (0.15, 0.45)  # cosine to the line of sight from which a vertex is seen a little, and fully
OUTLINE_MM = 15.0  # within this of the mask's outline these are higher, by up to
OUTLINE_GRAZING = 0.2  # where the surface turns away at the outline, the background is near
SILHOUETTE_MM = 3.0  # within this of the mask's outline a pixel may show hair or background; the photo's border fades
CHANGE_TIME_MM2 = 150.0  # the difference between left and right is taken over about the root of this
SMOOTH_MM = 1.5  # detail of known colours that the continuation keeps
PRIOR_WEIGHT = 1e-5  # of the person's own hair and skin where no colour is known: over SMOOTH_MM / 1e-5^(1/4) = 27 mm
HAIR_WEIGHT = 1e-2  # of the scalp's colours in the photo: over 5 mm
OTHER_COLOR = 60.0  # distance from the scalp's median colour beyond which a pixel shows something else
HAIRLINE_MM = 40.0  # how far from the face the photo is asked for hair: the background is near where the skull ends
CLEAR = (0.1, 0.4)  # cosine to the line of sight from which the photo shows hair before the scalp, and fully
BEHIND_COLORS = {
    "eye_sockets": (90.0, 50.0, 45.0),
    "mouth_interior": (50.0, 20.0, 20.0),  # the others lie in it
    "gums_and_tongue": (125.0, 62.0, 60.0),
    "teeth": (205.0, 198.0, 185.0),
}
"""Colours of the parts behind the skin, in the light in which the white of an eye is `SCLERA`."""
MOUTH_DEPTH_MM = 30.0  # over this the light that comes in between the lips falls to 1/e
LIGHT = (0.4, 1.15)  # what the whites of the eyes can say of it; they may lie in shadow, or behind glasses
SCLERA = (205.0, 200.0, 196.0)  # of an eye of which nothing is seen
SEEN = 0.5  # how far a vertex of an eye is shown whose colour counts
BRIGHTEST = 75.0  # percentile of an eyeball's seen vertices from which they are white


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

    def __init__(self, photo: ByteArray, maps: FaceMaps, camera: Camera, V: FloatArray, topology: Topology) -> None:
        self.topology = topology
        self.maps = maps
        self.photo = photo
        self.camera = camera
        side = maps.step * maps.size
        finest = side / camera.scale / FINEST_MM
        crop = Crop.of(photo, maps.box, int(np.clip(round(min(side, finest)), maps.size, LARGEST_CROP)))
        self.crop = crop.image
        self.step = side / len(self.crop)  # pixels of the photo along one of the crop
        self.pixel_mm = self.step / camera.scale
        self.place = camera.project(V)  # in pixels of the photo
        self.pixel = crop.to_crop(self.place)
        self.depth = camera.view(V)[:, 2]
        self.vertices = V
        self.facing = geometry.vertex_normals(V, topology.faces) @ camera.rotation[2]

    @cached_property
    def seen(self) -> FloatArray:
        """How far the photo shows each vertex, (n,) in [0, 1]: 1 in full view; 0 hidden, grazing, off mask or photo."""
        size = self.maps.size
        points = np.column_stack([(self.pixel + 0.5) * (size / len(self.crop)) - 0.5, self.depth])
        fine = 2
        points[:, :2] = (points[:, :2] + 0.5) * fine - 0.5
        nearest = geometry.rasterize(points, self.topology.faces, None, (fine * size, fine * size)).depth
        x, y = np.clip(np.rint(points[:, :2]), 0, fine * size - 1).astype(np.int64).T
        inside = ((self.pixel > 0) & (self.pixel < len(self.crop) - 1)).all(axis=1)
        front = self.depth > np.nan_to_num(nearest[y, x], nan=-np.inf) - HIDDEN_MM
        low, high = GRAZING
        stricter = OUTLINE_GRAZING * np.clip(1.0 - self.within / OUTLINE_MM, 0.0, 1.0)
        seen = np.clip((self.facing - stricter - low) / (high - low), 0.0, 1.0) * (inside & front)
        return np.asarray(seen * np.clip(np.minimum(self.within, self.from_border) / SILHOUETTE_MM, 0.0, 1.0))

    @cached_property
    def from_border(self) -> FloatArray:
        """How far from the photo's outermost pixels each vertex falls, (n,) mm; negative beyond them."""
        height, width = self.photo.shape[:2]
        return np.asarray(np.minimum(self.place, (width - 1, height - 1) - self.place).min(axis=1) / self.camera.scale)

    @cached_property
    def within(self) -> FloatArray:
        """How far inside the mask's outline each vertex falls, (n,) mm; 0 outside."""
        distance = distance_inside(self.maps.mask)
        share = (self.pixel + 0.5) / len(self.crop)
        x, y = np.clip(np.rint(share * self.maps.size - 0.5), -1, self.maps.size).astype(np.int64).T
        return np.asarray(distance[y + 1, x + 1] * (self.pixel_mm * len(self.crop) / self.maps.size), np.float64)

    def beyond(self, kept: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return what the photo shows at vertices beyond the mask: colours (k, 3), and how well (k,) in [0, 1]."""
        x0, y0, x1, y1 = self.maps.box
        margin = (x1 - x0) / 2
        wide = (x0 - margin, y0 - margin, x1 + margin, y1 + margin)
        pixel = self.place[kept]
        height, width = self.photo.shape[:2]
        inside = ((pixel > 0) & (pixel < (width - 1, height - 1))).all(axis=1)
        low, high = CLEAR
        clear = np.clip((self.facing[kept] - low) / (high - low), 0.0, 1.0) * inside
        size = self.maps.size  # pixels of about 3 mm, so that no single hair counts
        crop = Crop.of(self.photo, wide, size)
        return bilinear(crop.image, crop.to_crop(pixel)), clear

    @cached_property
    def colors(self) -> FloatArray:
        """What the photo shows at each vertex's place, (n, 3) in [0, 255], whether it shows the vertex or not."""
        return bilinear(self.crop, self.pixel)

    @cached_property
    def gray(self) -> FloatArray:
        """The same as one gray value, (n,) in [0, 1] (ITU-R BT.601)."""
        return np.asarray(self.colors @ np.array([0.299, 0.587, 0.114]) / 255.0)


def vertex_colors(template: Template, view: View) -> FloatArray:
    """Return colours of the fine vertices, (n, 3) in [0, 255]: the photo's where it shows them.

    Hidden skin takes the colour of its mirror image, moved by as much as both sides differ near by, or where that is
    hidden too, what is known goes on and turns into the person's own hair or skin.
    """
    coarse, fine = template.coarse, template.fine
    skin = coarse.skin_count
    kept = np.r_[0:skin, fine.skin_count : len(view.vertices)]  # the fine vertices that are the coarse ones
    shown, seen = view.colors[kept][:skin], view.seen[kept][:skin, None]
    mirror = coarse.mirror[:skin]
    other, other_seen = shown[mirror], seen[mirror]
    both = seen * other_seen
    V = view.vertices[kept][:skin]
    heat = geometry.heat_smooth(
        V, coarse.skin_faces, np.hstack([both * (shown - other), both]), CHANGE_TIME_MM2, tolerance=1e-3
    )
    change = heat[:, :3] / np.maximum(heat[:, 3:4], 1e-2)
    known = np.maximum(seen, other_seen)
    values = np.where(seen >= other_seen, shown, other + change)
    around = continued_colors(template, view, values, known[:, 0])
    hidden = other_seen * (other + change) + (1 - other_seen) * around
    behind = behind_colors(template, view)
    filled = template.carry(np.concatenate([hidden, behind]))
    own = view.seen[:, None]
    return np.asarray(np.clip(own * view.colors + (1 - own) * filled, 0.0, 255.0))


def continued_colors(template: Template, view: View, values: FloatArray, known: FloatArray) -> FloatArray:
    """Return colours (s, 3) of the coarse skin, from those that are known: they go on and become hair or plain skin.

    Of the scalp the photo shows more than the face's mask does: hair (or a hat, or neither) stands before the model's
    bare skull wherever that faces the camera.

    Parameters
    ----------
    template : Template
    view : View of its fine vertices
    values : (s, 3) float array
    known : (s,) float array in [0, 1], how well the values are known
    """
    coarse = template.coarse
    face = coarse.regions["face"][: len(values)]
    values, weight = values.copy(), np.maximum(known, PRIOR_WEIGHT)
    tone = _median(values[face], known[face])
    values[known == 0] = tone
    if "scalp" in coarse.regions:
        scalp = coarse.regions["scalp"][: len(values)]
        kept = np.flatnonzero(scalp)
        shown, clear = view.beyond(kept)
        away = geometry.nearest(load_face_model().mean[: len(values)][face], load_face_model().mean[kept])[1]
        clear *= np.clip(1.0 - away / HAIRLINE_MM, 0.0, 1.0)
        hair = _median(shown, clear) if clear.any() else tone
        clear *= np.linalg.norm(shown - hair, axis=1) < OTHER_COLOR
        unknown = (known[kept] == 0)[:, None]
        values[kept] = np.where(unknown, np.where(clear[:, None] > 0, shown, hair), values[kept])
        weight[kept] = np.maximum(known[kept], np.maximum(PRIOR_WEIGHT, HAIR_WEIGHT * clear))
    V = view.vertices[: len(values)]
    return geometry.biharmonic_interpolation(V, coarse.skin_faces, values, weight, length=SMOOTH_MM)


def _median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the median colour of those with at least half of the largest weight."""
    return np.asarray(np.median(values[weights >= 0.5 * weights.max()], axis=0))


def behind_colors(template: Template, view: View) -> FloatArray:
    """Return colours for what lies behind the skin, should the photo not show it; a hidden eye has the other's."""
    regions, skin = template.coarse.regions, template.coarse.skin_count
    places = load_face_model().mean[template.vertices[skin:]]
    shown, seen = (values[template.fine.skin_count :] for values in (view.colors, view.seen))
    out = np.zeros((len(places), 3))
    eyes = [regions[name][skin:] for name in ("eyeball_left", "eyeball_right")]
    whites = _whites([shown[eye & (seen > SEEN)] for eye in eyes])
    for eye, other, white in zip(eyes, reversed(eyes), whites, strict=True):
        from_centre = [places[members] - places[members].mean(axis=0) for members in (other, eye)]
        alike = geometry.nearest(*from_centre)[0]  # eyes look the same way: moved, not mirrored
        share = seen[other][alike, None]
        out[eye] = share * shown[other][alike] + (1 - share) * white
    light = np.clip(np.mean(whites, axis=0) / SCLERA, *LIGHT)  # how bright white is in this photo
    for name, color in BEHIND_COLORS.items():
        out[regions[name][skin:]] = color * light
    mouth = regions["mouth_interior"][skin:]
    height = places[mouth, 2]
    out[mouth] *= np.exp((height - height.max()) / MOUTH_DEPTH_MM)[:, None]
    return out


def _whites(eyes: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the white (3,) of each of two eyes of which vertices with these colours (k, 3) are seen."""
    found = []
    for shown in eyes:
        gray = shown.sum(axis=1)
        found += [shown[gray >= np.percentile(gray, BRIGHTEST)].mean(axis=0)] if len(shown) else []
    return found if len(found) == len(eyes) else len(eyes) * (found or [np.array(SCLERA)])
