"""Visibility and colours of the vertices of a mesh in a photo, and colours of the parts that are not visible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template, Topology
from facegeom.images.camera import Camera
from facegeom.images.crop import Crop
from facegeom.images.face_maps import FaceMaps
from facegeom.images.sampling import bilinear, distance_inside
from facegeom.texture.mouth import TEETH, MouthLight, mouth_colors

FINEST_MM = 0.8  # minimum pixel size in mm; finer photos are reduced, because vertices are about 1.2 mm apart
LARGEST_CROP = 1024
HIDDEN_MM = 2.0  # distance in mm behind the visible surface beyond which a vertex is hidden
GRAZING = (0.15, 0.45)  # cosines between normal and line of sight: visibility is 0 below the first, 1 above the second
OUTLINE_MM = 15.0  # distance in mm from the mask's outline within which both cosines of GRAZING are increased
OUTLINE_GRAZING = 0.2  # increase of both cosines of GRAZING at the mask's outline, where the background is near
SILHOUETTE_MM = 3.0  # distance in mm from the mask's outline or the photo's border at which visibility reaches 1
OWN = 0.5  # minimum probability of skin or hair of a vertex or texel that shows it
SOCKETS = (150.0, 92.0, 82.0)  # colour (RGB, 0 to 255) of eye sockets under light in which the white is SCLERA
LIGHT = (0.4, 1.15)  # limits of the light estimate, relative to SCLERA; the whites of the eyes may be in shadow
SHADED = 0.25  # share of the missing light on the whites of the eyes that is the shade of the lids
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
    out[regions["mouth_interior"][skin:]] = mouth_colors(template, mouth_light(template, view))
    return out


def mouth_light(template: Template, view: View) -> MouthLight:
    """Return the light on the mouth, and the colour of teeth in it, that a photo shows."""
    regions, skin = template.coarse.regions, template.coarse.skin_count
    shown, seen = (values[template.fine.skin_count :] for values in (view.colors, view.seen))
    eyes = [regions[name][skin:] for name in ("eyeball_left", "eyeball_right")]
    light = _light(np.mean(_whites([shown[eye & (seen > SEEN)] for eye in eyes]), axis=0))
    teeth = regions["teeth"][skin:]
    return MouthLight(light, _seen_teeth(shown[teeth], seen[teeth], np.array(TEETH) * light))


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
