"""Visibility and colours of the vertices of a mesh in a photo, and colours of the parts that are not visible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template, Topology
from facegeom.images.camera import Camera
from facegeom.images.crop import Crop
from facegeom.images.face_maps import FaceMaps
from facegeom.images.sampling import bilinear, distance_inside
from facegeom.texture.hair import hairy_vertices
from facegeom.texture.head_classes import HeadClasses
from facegeom.texture.mouth import TEETH, mouth_colors

FINEST_MM = 0.8  # minimum pixel size in mm; finer photos are reduced, because vertices are about 1.2 mm apart
LARGEST_CROP = 1024
HIDDEN_MM = 2.0  # distance in mm behind the visible surface beyond which a vertex is hidden
GRAZING = (0.15, 0.45)  # cosines between normal and line of sight: visibility is 0 below the first, 1 above the second
OUTLINE_MM = 15.0  # distance in mm from the mask's outline within which both cosines of GRAZING are increased
OUTLINE_GRAZING = 0.2  # increase of both cosines of GRAZING at the mask's outline, where the background is near
SILHOUETTE_MM = 3.0  # distance in mm from the mask's outline or the photo's border at which visibility reaches 1
CHANGE_TIME_MM2 = 150.0  # diffusion time in mm^2 of the colour difference between the left and the right side
SMOOTH_MM = 1.5  # smoothing length in mm of known colours when they are extended to unknown vertices
PRIOR_WEIGHT = 1e-3  # weight of the mean skin around at unknown vertices; range SMOOTH_MM / 1e-3^(1/4) = 8 mm
AROUND_MM2 = 900.0  # diffusion time of this mean, mm^2
LEAST_HEAT = 1e-3  # share of known skin in this mean below which it is the median of the face
HAIR_WEIGHT = 3e-2  # weight of the hair colour at unknown vertices of the scalp; range SMOOTH_MM / 3e-2^(1/4) = 4 mm
OWN = 0.5  # minimum probability of skin or hair of a vertex or texel that shows it
LEAST_BROWS = 10  # minimum number of visible vertices of brows from which their colour is measured
SOCKETS = (150.0, 92.0, 82.0)  # colour (RGB, 0 to 255) of eye sockets under light in which the white is SCLERA
LIGHT = (0.4, 1.15)  # limits of the light estimate, relative to SCLERA; the whites of the eyes may be in shadow
SHADED = 0.4  # share of the missing light on the whites of the eyes that is the shade of the lids
SCLERA = (205.0, 200.0, 196.0)  # colour (RGB, 0 to 255) of the white of a hidden eye
SEEN = 0.5  # minimum visibility of a vertex of an eyeball or a tooth whose colour in the photo is used
LEAST_TEETH = 10  # minimum number of visible vertices of teeth from which their colour is measured
BRIGHTEST = 75.0  # percentile of brightness above which visible vertices of an eyeball show the white


class View:
    """Projection, visibility and colours of the vertices of a mesh in a photo.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    maps : FaceMaps of the face in the photo
    camera : Camera, projection from the face frame to the photo
    V : (n, 3) float array, vertices of the mesh, mm in the face frame
    topology : Topology of the mesh
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
        self.step = side / len(self.crop)  # width of one pixel of the crop, in pixels of the photo
        self.pixel_mm = self.step / camera.scale
        self.place = camera.project(V)  # (n, 2), x and y in pixels of the photo
        self.pixel = crop.to_crop(self.place)
        self.depth = camera.view(V)[:, 2]
        self.vertices = V
        self.facing = geometry.vertex_normals(V, topology.faces) @ camera.rotation[2]

    @cached_property
    def seen(self) -> FloatArray:
        """Visibility of each vertex, (n,) in [0, 1]; 0 if hidden, at a grazing angle, or outside mask or photo."""
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
        """Distance of each vertex from the photo's border, (n,) mm; negative outside the photo."""
        height, width = self.photo.shape[:2]
        return np.asarray(np.minimum(self.place, (width - 1, height - 1) - self.place).min(axis=1) / self.camera.scale)

    @cached_property
    def within(self) -> FloatArray:
        """Distance of each vertex from the mask's outline, (n,) mm; 0 outside the mask."""
        distance = distance_inside(self.maps.mask)
        share = (self.pixel + 0.5) / len(self.crop)
        x, y = np.clip(np.rint(share * self.maps.size - 0.5), -1, self.maps.size).astype(np.int64).T
        return np.asarray(distance[y + 1, x + 1] * (self.pixel_mm * len(self.crop) / self.maps.size), np.float64)

    @cached_property
    def colors(self) -> FloatArray:
        """Colour of the photo at the projection of each vertex, (n, 3) in [0, 255], also for hidden vertices."""
        return bilinear(self.crop, self.pixel)

    @cached_property
    def gray(self) -> FloatArray:
        """Gray value of `colors`, (n,) in [0, 1] (ITU-R BT.601)."""
        return np.asarray(self.colors @ np.array([0.299, 0.587, 0.114]) / 255.0)


def vertex_colors(template: Template, view: View, classes: HeadClasses, grown: BoolArray | None = None) -> FloatArray:
    """Return colours of the fine vertices, (n, 3) in [0, 255]; visible vertices have the colours of the photo.

    A hidden vertex of the skin gets the colour of the mirrored vertex, corrected by the colour difference of both sides
    nearby. If the mirrored vertex is hidden too, the colour comes from `continued_colors`. Vertices whose pixels show
    neither skin nor, on the scalp, hair count as hidden. `grown` (n,) are the coarse vertices that are hair as shape.
    """
    coarse, fine = template.coarse, template.fine
    skin = coarse.skin_count
    kept = np.r_[0:skin, fine.skin_count : len(view.vertices)]  # fine vertices that also exist in the coarse topology
    hairy = hairy_vertices(template, grown)
    all_seen = view.seen * _own(template, hairy, classes.at(view.place))
    shown, seen = view.colors[kept][:skin], all_seen[kept][:skin, None]
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
    around = continued_colors(template, view, classes, values, known[:, 0], hairy)
    hidden = other_seen * (other + change) + (1 - other_seen) * around
    behind = behind_colors(template, view)
    filled = template.carry(np.concatenate([hidden, behind]))
    own = np.where(np.arange(len(filled)) < fine.skin_count, all_seen, 0.0)[:, None]
    return np.asarray(np.clip(own * view.colors + (1 - own) * filled, 0.0, 255.0))


def _own(template: Template, hairy: BoolArray, found: Float32Array) -> BoolArray:
    """Return whether fine vertices show their own class, (n,): skin, or hair on the scalp and on other coarse vertices
    `hairy`; `found` as `HeadClasses.at`.
    """
    scalp = template.fine.regions.get("scalp", np.zeros(len(found), np.bool_)) | (template.carry(hairy) > OWN)
    return np.asarray((found[:, 0] > OWN) | (scalp & (found[:, 1] > OWN)))


def continued_colors(
    template: Template,
    view: View,
    classes: HeadClasses,
    values: FloatArray,
    known: FloatArray,
    hairy: BoolArray,
) -> FloatArray:
    """Extend known colours smoothly over the coarse skin; return colours (s, 3) in [0, 255].

    Near known colours, the result continues them with their slope; farther away, it is the mean of the skin around, and
    on the scalp the median colour of the hair.

    Parameters
    ----------
    template : Template
    view : View of the fine vertices of the template
    classes : HeadClasses of the photo
    values : (s, 3) float array, known colours in [0, 255]
    known : (s,) float array in [0, 1], weight of each known colour
    hairy : (n,) bool array, coarse vertices on which hair grows, see `hairy_vertices`
    """
    coarse = template.coarse
    count = len(values)
    face = coarse.regions["face"][:count]
    scalp = coarse.regions["scalp"][:count] if "scalp" in coarse.regions else np.zeros(count, np.bool_)
    values, weight = values.copy(), np.maximum(known, PRIOR_WEIGHT)
    tone = _median(values[face], known[face])
    V = view.vertices[:count]
    sure = known * ~scalp
    heat = geometry.heat_smooth(
        V, coarse.skin_faces, np.column_stack([sure[:, None] * values, sure]), AROUND_MM2, tolerance=1e-3
    )
    around = (heat[:, :3] + LEAST_HEAT * tone) / (heat[:, 3:] + LEAST_HEAT)
    hair = _hair(classes, values, known, coarse.regions)
    values = np.where(known[:, None] > 0, values, around)
    if hair is not None:
        hairy = hairy[:count]
        values[hairy & (known == 0)] = hair
        weight[hairy] = np.maximum(known[hairy], HAIR_WEIGHT)
    found = geometry.biharmonic_interpolation(V, coarse.skin_faces, values, weight, length=SMOOTH_MM)
    shown = values[known > 0] if (known > 0).any() else values
    return np.clip(found, np.minimum(values, shown.min(axis=0)), np.maximum(values, shown.max(axis=0)))


def _hair(
    classes: HeadClasses,
    values: FloatArray,
    known: FloatArray,
    regions: dict[str, BoolArray],
) -> FloatArray | None:
    """Return the colour (3,) of the hair, below a hat that of the brows; None for a bald head."""
    if classes.hair is not None or not classes.hat:
        return classes.hair
    brows = (regions["brow_left"] | regions["brow_right"])[: len(values)] & (known > 0.5)
    if brows.sum() < LEAST_BROWS:
        return None
    shown = values[brows]
    dark = shown.sum(axis=1) <= np.median(shown.sum(axis=1))
    return np.asarray(np.median(shown[dark], axis=0))


def _median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the median colour (3,) of the colours `values` (n, 3) whose weight is at least half of the maximum."""
    return np.asarray(np.median(values[weights >= 0.5 * weights.max()], axis=0))


def behind_colors(template: Template, view: View) -> FloatArray:
    """Return colours (b, 3) for hidden vertices of the parts behind the skin.

    An eye vertex gets the colour of the corresponding vertex of the other eye if that is visible, else white.
    """
    regions, skin = template.coarse.regions, template.coarse.skin_count
    places = load_face_model().mean[template.vertices[skin:]]
    shown, seen = (values[template.fine.skin_count :] for values in (view.colors, view.seen))
    out = np.zeros((len(places), 3))
    eyes = [regions[name][skin:] for name in ("eyeball_left", "eyeball_right")]
    whites = _whites([shown[eye & (seen > SEEN)] for eye in eyes])
    for eye, other, white in zip(eyes, reversed(eyes), whites, strict=True):
        from_centre = [places[members] - places[members].mean(axis=0) for members in (other, eye)]
        alike = geometry.nearest(*from_centre)[0]  # both eyes have the same gaze direction: translated, not mirrored
        share = seen[other][alike, None]
        out[eye] = share * shown[other][alike] + (1 - share) * white
    light = _light(np.mean(whites, axis=0))
    out[regions["eye_sockets"][skin:]] = np.array(SOCKETS) * light
    teeth = regions["teeth"][skin:]
    edge = _seen_teeth(shown[teeth], seen[teeth], np.array(TEETH) * light)
    out[regions["mouth_interior"][skin:]] = mouth_colors(template, light, edge)
    return out


def _light(white: FloatArray) -> FloatArray:
    """Return the colour (3,) of the light on the mouth, relative to that under which a white is `SCLERA`.

    The white of an eye lies in the shade of the lids and is often mixed with their red, and a mouth is not: the light
    is lighter and less colourful than the white.
    """
    measured = np.clip(white / SCLERA, *LIGHT)
    level = float(measured.mean())
    return np.asarray((0.5 * measured / level + 0.5) * (level + SHADED * max(0.0, 1.0 - level)))


def _seen_teeth(shown: FloatArray, seen: FloatArray, usual: FloatArray) -> FloatArray:
    """Return the colour (3,) of the edges of teeth: that of the photo where it shows teeth, else the usual colour.

    `shown` (k, 3) and `seen` (k,) are the colours in the photo and the visibility of the vertices of the teeth.
    """
    bright = shown[(seen > SEEN) & (shown.sum(axis=1) > 0.6 * usual.sum())]
    if len(bright) < LEAST_TEETH:
        return usual
    gray = bright.sum(axis=1)
    return np.asarray(0.6 * bright[gray >= np.median(gray)].mean(axis=0) + 0.4 * usual)


def _whites(eyes: Sequence[FloatArray]) -> list[FloatArray]:
    """Return two colours (3,), the whites of the two eyes, from the colours (k, 3) of their visible vertices.

    An eye with k = 0 gets the colour of the other eye, or else `SCLERA`.
    """
    found = []
    for shown in eyes:
        gray = shown.sum(axis=1)
        found += [shown[gray >= np.percentile(gray, BRIGHTEST)].mean(axis=0)] if len(shown) else []
    return found if len(found) == len(eyes) else len(eyes) * (found or [np.array(SCLERA)])
