"""The eyes of a person: gaze and colours from a photo, and pictures of whole eyeballs.

A photo shows only the part of an eyeball between the lids, and eyes in photos are often 10 pixels high. The eyeball of
a head turns, so that its texture must not contain the lids' shadow or lashes. The whole ball is therefore painted:
white, edge of the iris (limbus), iris and pupil, with the colours and the gaze that the photo shows.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.file_atlas import EYE_BOX, IRIS_DEGREES, MARGIN, disc_angle
from facegeom.face_model.lids import lid_margin
from facegeom.face_model.template import Template, load_template
from facegeom.mesh.parts import sphere_centre
from facegeom.texture.appearance import SCLERA, SEEN, View
from facegeom.texture.smooth_step import smooth_step

SIDES = ("left", "right")
LEAST_PIXELS = 12  # minimum number of pixels of the eyeballs from which gaze and colours are measured
GRID = {"yaw": 32.5, "pitch": 15.0, "step": 2.5}  # largest angles and step of the search for the gaze, degrees
FINE_STEP = 0.5  # step of the search around the best gaze, degrees
RING = (25.0, 45.0)  # angles from the gaze, degrees, between which pixels show the white
INNER = (9.0, 18.0)  # angles from the gaze, degrees, between which pixels show the colour of the iris
ENOUGH = (
    0.45,
    0.2,
)  # least pixels of iris and ring, relative to the most of any iris, of a gaze without a loss of score
CALM = (0.3, 0.9)  # loss of score, in standard deviations of the brightness, of 20 degrees of yaw and of pitch
SURE = 0.5  # minimum score, in standard deviations of the brightness, of a gaze; otherwise the eyes look ahead
STEADY, STEADY_DEG = 0.2, 3.0
"""Gain of the score of the gaze of the frame before, in standard deviations of the brightness, and the distance in
degrees at which 60 % of it are left. Without it, eyes jump between gazes that are equally likely."""
IRIS = (92.0, 70.0, 55.0)  # colour (RGB, 0 to 255) of an iris that the photo does not show, where the white is SCLERA
BLUE = (1.12, 1.3)  # blue against red of an iris, relative to those of the white: gray below the first, blue above
DARK = (0.28, 0.5)  # brightness of an iris relative to the white: brown below the first, as measured above the second
WHITEST = 0.5  # share of the measured colour of the white; the rest is SCLERA in the same light
LEAST_GREEN, MOST_BLUE = 0.985, 1.0  # green relative to the mean of red and blue, and blue relative to red and green
LID_SHADE = 0.65  # power of the light on the white in a photo that is the light without the shade of the lids
LEAST_WHITE = 0.8  # smallest brightness of the white, relative to the skin below the eyes: a deep shadow is not painted
BELOW_MM = (4.0, 12.0)  # distance in mm of this skin from the margin of the lower lid
LIMIT = (0.35, 1.15)  # limits of the light, relative to SCLERA
SEED = 7


class Gaze(NamedTuple):
    """Direction in which both eyes look, relative to the face, in degrees: yaw to the subject's left, pitch up."""

    yaw: float
    pitch: float

    @property
    def direction(self) -> FloatArray:
        """Unit vector (3,) in the face frame."""
        return np.asarray(_directions(np.radians([self.yaw]), np.radians([self.pitch]))[0])


class Eyes(NamedTuple):
    """What a photo shows of the eyes: the gaze, and the colours (3,) of iris and white, RGB in [0, 255]."""

    gaze: Gaze
    iris: FloatArray
    white: FloatArray


class EyePixels(NamedTuple):
    """The pixels of a photo that show eyeballs.

    Attributes
    ----------
    toward : (p, 3) float array, unit vectors from the centre of the eyeball to the point that a pixel shows
    colors : (p, 3) float array in [0, 255]
    left : (p,) bool array, pixels of the left eye
    """

    toward: FloatArray
    colors: FloatArray
    left: BoolArray


def unseen_eyes() -> Eyes:
    """Return usual eyes that look ahead, for a photo that does not show them."""
    return Eyes(Gaze(0.0, 0.0), np.array(IRIS), np.array(SCLERA))


def look(template: Template, view: View) -> Eyes:
    """Measure the gaze and the colours of the eyes in a photo.

    The gaze is the direction around which the eyeballs are darker than further out, as in Daugman's search for the
    iris, with a cost for directions off the front; both eyes look in one direction.

    Parameters
    ----------
    template : Template
    view : View of the fine vertices of the template, whose eyeballs look ahead

    References
    ----------
    Daugman, High confidence visual recognition of persons by a test of statistical independence, 1993, section III.
    """
    pixels = _eye_pixels(shown_balls(template, view), view.crop)
    if len(pixels.toward) < LEAST_PIXELS:
        return unseen_eyes()
    gaze, sure = gaze_of(pixels)
    degrees = _degrees(pixels.toward, gaze.direction)
    white = _bright(pixels.colors[(degrees > RING[0])])
    level = float(np.clip((white / SCLERA).mean(), *LIMIT))
    white = WHITEST * np.clip(white, 0, 255) + (1 - WHITEST) * level * np.array(SCLERA)
    white = _light_enough(_not_mauve(white) * level ** (LID_SHADE - 1.0), _skin_below(template, view))
    inside = pixels.colors[(degrees > INNER[0]) & (degrees < INNER[1])]
    iris = np.array(IRIS) * level
    if sure and len(inside) >= LEAST_PIXELS // 2:
        gray = inside.sum(axis=1)
        low, high = np.percentile(gray, (30, 80))
        iris = inside[(gray >= low) & (gray <= high)].mean(axis=0)
        # A dark iris is brown if it is not blue. In a photo it looks gray, because it reflects the surroundings.
        brown = np.array(IRIS) * iris.sum() / sum(IRIS)
        light_iris = np.clip((iris.sum() / white.sum() - DARK[0]) / (DARK[1] - DARK[0]), 0.0, 1.0)
        blue = np.clip((iris[2] / white[2] / (iris[0] / white[0]) - BLUE[0]) / (BLUE[1] - BLUE[0]), 0.0, 1.0)
        own = max(light_iris, blue)
        iris = own * iris + (1 - own) * brown
    return Eyes(gaze, iris, white)


class Shown(NamedTuple):
    """The eyeballs in the crop of a view.

    Attributes
    ----------
    balls : (S, S) bool array, pixels that show an eyeball
    toward : (S, S, 3) float array, directions from the centre of the eyeball to the point that a pixel shows
    left : (S, S) bool array, pixels of the left eye
    """

    balls: BoolArray
    toward: FloatArray
    left: BoolArray


def shown_balls(template: Template, view: View) -> Shown:
    """Return where the crop of a view shows the eyeballs."""
    regions, V, size = template.fine.regions, view.vertices, len(view.crop)
    arm = np.zeros((len(V), 4))
    balls = np.zeros(len(V), bool)
    for side in SIDES:
        members = regions[f"eyeball_{side}"]
        ray = V[members] - sphere_centre(V[members])
        arm[members, :3] = ray / np.linalg.norm(ray, axis=1, keepdims=True)
        arm[members, 3] = side == "left"
        balls |= members
    points = np.column_stack([view.pixel, view.depth])
    raster = geometry.rasterize(points, template.fine.faces, arm, (size, size))
    shown = np.zeros((size, size), bool)
    covered = raster.triangle >= 0
    shown[covered] = balls[template.fine.faces[raster.triangle[covered]]].all(axis=1)
    return Shown(shown, raster.attributes[..., :3], np.asarray(raster.attributes[..., 3] > 0.5, np.bool_))


def _eye_pixels(shown: Shown, crop: ByteArray) -> EyePixels:
    """Return the pixels of a crop that show eyeballs, without those at the lids."""
    inside = cv2.erode(shown.balls.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))).astype(bool)
    toward = shown.toward[inside]
    length = np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-9)
    return EyePixels(toward / length, crop[inside].astype(np.float64), shown.left[inside])


def _directions(yaw: FloatArray, pitch: FloatArray) -> FloatArray:
    return np.column_stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])


def _degrees(toward: FloatArray, direction: FloatArray) -> FloatArray:
    return np.asarray(np.degrees(np.arccos(np.clip(toward @ direction, -1.0, 1.0))))


def gaze_of(pixels: EyePixels, before: Gaze | None = None) -> tuple[Gaze, bool]:
    """Return the gaze, and whether the photo shows an iris; `before` is the gaze in the frame before, if known."""
    step = GRID["step"]
    yaw, pitch = (np.arange(-GRID[name], GRID[name] + step / 2, step) for name in ("yaw", "pitch"))
    coarse = np.stack(np.meshgrid(yaw, pitch, indexing="ij"), axis=-1).reshape(-1, 2)
    scores = _scores(pixels, coarse)
    if scores.max() <= SURE:
        return Gaze(0.0, 0.0), False
    best = coarse[(scores + _steady(coarse, before)).argmax()]
    around = np.arange(-step, step + FINE_STEP / 2, FINE_STEP)
    fine = best + np.stack(np.meshgrid(around, around, indexing="ij"), axis=-1).reshape(-1, 2)
    return Gaze(*fine[(_scores(pixels, fine) + _steady(fine, before)).argmax()].tolist()), True


def _steady(angles: FloatArray, before: Gaze | None) -> FloatArray:
    """Return what the score of gazes (k, 2), in degrees, gains near the gaze of the frame before."""
    if before is None:
        return np.zeros(len(angles))
    return np.asarray(STEADY * np.exp(-0.5 * ((angles - before) ** 2).sum(axis=1) / STEADY_DEG**2))


def _scores(pixels: EyePixels, angles: FloatArray) -> FloatArray:
    """Return how likely gazes (k, 2), yaw and pitch in degrees, are, in standard deviations of the brightness."""
    directions = _directions(*np.radians(angles).T)
    total, weight = np.zeros(len(angles)), 0.0
    for side in (pixels.left, ~pixels.left):
        if side.sum() < LEAST_PIXELS // 2:
            continue
        gray = pixels.colors[side].sum(axis=1)
        gray = np.minimum(gray, np.percentile(gray, 90))  # reflections of lamps are bright
        deviation = max(float(gray.std()), 1e-6)
        cosine = pixels.toward[side] @ directions.T
        iris = (cosine > np.cos(np.radians(IRIS_DEGREES))).astype(np.float64)
        ring = ((cosine < np.cos(np.radians(RING[0]))) & (cosine > np.cos(np.radians(RING[1])))).astype(np.float64)
        counts = iris.sum(axis=0), ring.sum(axis=0)
        darker = gray @ ring / np.maximum(counts[1], 1) - gray @ iris / np.maximum(counts[0], 1)
        enough = np.minimum(
            counts[0] / max(ENOUGH[0] * counts[0].max(), 1), counts[1] / max(ENOUGH[1] * counts[0].max(), 1)
        )
        total += side.sum() * (darker / deviation) * np.clip(enough, 0.0, 1.0)
        weight += side.sum()
    return np.asarray(total / max(weight, 1.0) - (angles / 20.0) ** 2 @ CALM)


def _skin_below(template: Template, view: View) -> FloatArray:
    """Return the colours (k, 3) of the skin below the eyes that the photo shows."""
    skin = np.zeros(len(view.vertices), np.bool_)
    for side in SIDES:
        margin = lid_margin(template, side)
        skin |= ~margin.upper & (margin.distance > BELOW_MM[0]) & (margin.distance < BELOW_MM[1])
    return view.colors[skin & (view.seen > SEEN)]


def _light_enough(white: FloatArray, skin: FloatArray) -> FloatArray:
    """Return the white (3,), at least `LEAST_WHITE` times as bright as the skin (k, 3); a lighter white is greyer."""
    if len(skin) < LEAST_PIXELS:
        return white
    share = min(1.0, float(white.mean() / (LEAST_WHITE * np.median(skin.mean(axis=1)))))
    return np.asarray(white + (1.0 - share) / share * white.mean() * np.array(SCLERA) / np.mean(SCLERA))


def _not_mauve(white: FloatArray) -> FloatArray:
    """Return a white (3,) that is no purple: such a tint comes from lids and vessels, not from the light on the eye.

    Light of the sky and of lamps is bluish to yellowish. Beside skin, a bluish white looks mauve, too.
    """
    red, green, blue = white
    blue = min(blue, MOST_BLUE * 0.5 * (red + green))
    return np.array([red, max(green, LEAST_GREEN * 0.5 * (red + blue)), blue])


def _bright(colors: FloatArray) -> FloatArray:
    """Return the mean (3,) of the brightest quarter of colours (k, 3) without the brightest 3 percent."""
    if len(colors) < LEAST_PIXELS // 2:
        return np.array(SCLERA) * 0.8
    gray = colors.sum(axis=1)
    low, high = np.percentile(gray, (75, 97))
    return np.asarray(colors[(gray >= low) & (gray <= high)].mean(axis=0))


class EyePicture:
    """The picture of an eyeball in its square of the atlas of files.

    Parameters
    ----------
    eyes : Eyes
    size : side length of the atlas in texels
    """

    PUPIL = 0.36  # radius of the pupil, in radii of the iris
    EDGE = (0.90, 1.10)  # radii between which the iris becomes the white
    RIM = 0.45  # brightness of the dark rim of the iris, relative to the iris
    HAZE, HAZE_END = 0.16, 1.6  # darkening of the white at the iris, and radius at which it ends; turned eyes show it
    FIBRES = 0.20  # standard deviation of the brightness of the fibres of the iris
    DEPTH = 0.25  # darkening of the white at the sides of the ball, which lie in the shade of the lids

    def __init__(self, eyes: Eyes, size: int) -> None:
        self.eyes = eyes
        self.size = size

    @cached_property
    def colors(self) -> ByteArray:
        """The square (s, s, 3) of the left eye; that of the right eye is its mirror image."""
        box = EYE_BOX["left"]
        side = max(2, round((box.right - box.left) * self.size))
        degrees, fibres = _structure(side)
        white, iris = self._white(degrees), self._iris(degrees / IRIS_DEGREES, fibres)
        share = smooth_step(degrees / IRIS_DEGREES, *self.EDGE)[..., None]
        return np.asarray(np.rint(np.clip(share * white + (1 - share) * iris, 0, 255)), np.uint8)

    def _white(self, degrees: FloatArray) -> FloatArray:
        """Return the colour of the white: darker and redder towards the corners."""
        shade = smooth_step(degrees, IRIS_DEGREES, 85.0)
        tint = 1.0 - shade[..., None] * self.DEPTH * np.array([0.85, 1.0, 1.15])
        rng = np.random.default_rng(SEED)
        veins = cv2.resize(
            rng.normal(0, 1, (24, 24)).astype(np.float32), degrees.shape[::-1], interpolation=cv2.INTER_CUBIC
        )
        haze = self.HAZE * (1.0 - smooth_step(degrees / IRIS_DEGREES, 1.0, self.HAZE_END))
        tint *= 1.0 - haze[..., None] * np.array([1.0, 0.95, 0.85])
        red = 0.02 * shade * np.clip(veins, 0, 2)
        return np.asarray(self.eyes.white * tint * (1.0 - red[..., None] * np.array([0.0, 1.0, 1.0])))

    def _iris(self, radius: FloatArray, fibres: FloatArray) -> FloatArray:
        """Return the colour of iris and pupil; `radius` is 1 at the edge of the iris."""
        inner = 1.0 - smooth_step(radius, self.PUPIL, 0.72)  # the collarette is lighter and warmer
        warm = 1.0 + inner[..., None] * np.array([0.16, 0.08, 0.0])
        rim = 1.0 - (1.0 - self.RIM) * smooth_step(radius, 0.74, 0.97)
        colour = self.eyes.iris * warm * (rim * (1.0 + self.FIBRES * fibres * (radius > self.PUPIL)))[..., None]
        pupil = (1.0 - smooth_step(radius, self.PUPIL - 0.04, self.PUPIL + 0.04))[..., None]
        return np.asarray(pupil * 0.12 * self.eyes.iris + (1 - pupil) * colour)


@load_once(maxsize=4)
def directions(side: int) -> FloatArray:
    """Return the direction from the centre of the left eyeball to the point that each texel of its square shows.

    The triangles of the ball are large, so that a circle of the disc is not a circle on the ball. The directions are
    therefore those of the points on the triangles.

    Parameters
    ----------
    side : side length s of the square in texels

    Returns
    -------
    (s, s, 3) float array of unit vectors, for a ball that looks ahead, to +z
    """
    box, template = EYE_BOX["left"], load_template()
    fine, ball = template.fine, template.fine.regions["eyeball_left"]
    V = template.subdivide(load_face_model().mean[template.vertices])
    own = ball[fine.faces].all(axis=1)
    arms = (V - sphere_centre(V[ball]))[fine.faces[own].ravel()]
    places = (template.file_uv[fine.uv_faces[own].ravel()] - (box.left, box.high)) / (box.right - box.left)
    # Triangles at the back overlap others; those in front are visible.
    points = np.column_stack([places * (side, -side) - 0.5, arms[:, 2]])
    found = geometry.rasterize(points, np.arange(len(points)).reshape(-1, 3), arms, (side, side))
    texel = (np.arange(side) + 0.5) / side * 2.0 - 1.0
    x, y = np.meshgrid(texel, -texel)
    angle = np.radians(disc_angle(np.hypot(x, y) / (1.0 - 2.0 * MARGIN / (box.right - box.left))))
    azimuth = np.arctan2(y, x)
    usual = np.stack([np.sin(angle) * np.cos(azimuth), np.sin(angle) * np.sin(azimuth), np.cos(angle)], axis=-1)
    result = np.where((found.triangle >= 0)[..., None], found.attributes, usual)
    return np.asarray(result / np.linalg.norm(result, axis=-1, keepdims=True))


@load_once(maxsize=4)
def _structure(side: int) -> tuple[FloatArray, FloatArray]:
    """Return the angle from the middle of the iris, degrees, and the brightness of fibres, at each texel (s, s)."""
    ahead = directions(side)
    degrees = np.degrees(np.arccos(np.clip(ahead[..., 2], -1.0, 1.0)))
    radius, azimuth = degrees / IRIS_DEGREES, np.arctan2(ahead[..., 1], ahead[..., 0])
    rng = np.random.default_rng(SEED + 1)
    fibres = np.zeros_like(radius)
    for _ in range(24):
        count, phase, twist = rng.integers(5, 60), rng.uniform(0, 2 * np.pi), rng.normal(0, 2.0)
        fibres += rng.normal() * np.cos(count * azimuth + phase + twist * radius)
    return degrees, fibres / np.sqrt(12)


def eye_colors(template: Template, eyes: Eyes) -> dict[str, Float32Array]:
    """Return the colours (k, 3), in [0, 255], of the vertices of the "left" and "right" eyeball, which looks ahead."""
    picture, box, colors = EyePicture(eyes, 256).colors, EYE_BOX["left"], {}
    fine = template.fine
    row = np.zeros(len(fine.mirror), np.int64)
    row[fine.faces.ravel()] = fine.uv_faces.ravel()
    for side in SIDES:
        uv = template.file_uv[row[fine.regions[f"eyeball_{side}"]]]
        u = uv[:, 0] if side == "left" else 1.0 - uv[:, 0]
        place = np.column_stack([u - box.left, box.high - uv[:, 1]]) / (box.right - box.left) * len(picture) - 0.5
        x, y = np.clip(np.rint(place), 0, len(picture) - 1).astype(np.int64).T
        colors[side] = np.asarray(picture[y, x], np.float32)
    return colors
