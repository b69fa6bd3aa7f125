"""Pictures of the eyeballs of a person: painted, with the pixels of the photo where these are sharp.

Most photos show an iris with 10 to 20 pixels, and a painted one looks better than these. A sharp photo of many pixels
shows the true iris. Pixels near the lids, in their shadow, are left out, because the ball turns below the lids.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.face_model.file_atlas import IRIS_DEGREES
from facegeom.face_model.template import Template
from facegeom.images.sampling import bilinear
from facegeom.mesh.parts import sphere_centre
from facegeom.texture.appearance import View
from facegeom.texture.baking import sample
from facegeom.texture.eyes import SIDES, EyePicture, Eyes, directions, shown_balls

IRIS_PIXELS = (14.0, 28.0)  # radii of the iris in pixels of the photo: painted below the first, photo above the second
LID_MM = (0.8, 2.6)  # distance in mm from the lids at which the weight of the photo begins, and at which it is whole
DETAIL_MM = 0.35  # structures of the iris below this size in mm tell whether the photo is sharp
SHARP = (0.25, 0.6)  # their contrast relative to the painted iris: painted below the first, photo above the second

WHITE_RADII = (0.9, 1.2)  # radii of the iris between which the light of the photo becomes that of the painted white

PUPIL_RADII = (0.42, 0.55)  # radii of the iris between which the painted pupil goes over into the iris of the photo
REFLECTION = (
    1.35,
    1.7,
)  # brightness relative to the iris from which a pixel begins to show a reflection, and shows one
REFLECTION_WIDTH = 0.02  # width of the blurred border of a reflection, relative to the square of an eyeball


def painted_pictures(eyes: Eyes, size: int) -> dict[str, ByteArray]:
    """Return the painted square of each eyeball, (s, s, 3), in an atlas of files with `size` texels a side."""
    picture = EyePicture(eyes, size).colors
    return {"left": picture, "right": np.ascontiguousarray(picture[:, ::-1])}


def eye_pictures(template: Template, view: View, eyes: Eyes, size: int) -> dict[str, ByteArray]:
    """Return the square of each eyeball with the pixels of the photo where they are sharp.

    Parameters
    ----------
    template : Template
    view : View of the fine vertices of the template, whose eyeballs look ahead
    eyes : Eyes that `facegeom.texture.eyes.look` measured in this view
    size : side length of the atlas of files in texels

    Returns
    -------
    dict from "left" and "right" to (s, s, 3) uint8 array
    """
    pictures = painted_pictures(eyes, size)
    pixels = _iris_radius(template, view)
    share = np.clip((pixels - IRIS_PIXELS[0]) / (IRIS_PIXELS[1] - IRIS_PIXELS[0]), 0.0, 1.0)
    if share == 0.0:
        return pictures
    shown = shown_balls(template, view)
    for side in SIDES:
        balls = shown.balls & (shown.left == (side == "left"))
        inside = cv2.distanceTransform(np.pad(balls, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] * view.pixel_mm
        colors, weight = _from_photo(template, view, eyes, side, inside.astype(np.float64), len(pictures[side]))
        weight = share * weight * _sharpness(colors, weight, pictures[side], eyes)
        if weight.max() > 0.0:
            weight *= _without_reflections(colors, weight)
        colors = _in_light(colors, weight, pictures[side])
        mixed = (1 - weight[..., None]) * pictures[side] + weight[..., None] * colors
        pictures[side] = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    return pictures


def _iris_radius(template: Template, view: View) -> float:
    """Return the radius of an iris in pixels of the photo."""
    ball = view.vertices[template.fine.regions["eyeball_left"]]
    radius = float(np.linalg.norm(ball - sphere_centre(ball), axis=1).mean())
    return radius * float(np.sin(np.radians(IRIS_DEGREES))) * view.camera.scale


def _from_photo(
    template: Template, view: View, eyes: Eyes, side: str, inside: FloatArray, size: int
) -> tuple[FloatArray, FloatArray]:
    """Return the colours (s, s, 3) of the photo at the texels of an eyeball, and their weights (s, s) in [0, 1].

    `inside` (S, S) is the distance in mm of each pixel of the crop from what is no eyeball.
    """
    ahead = directions(size)
    if side == "right":  # its square is the mirror image
        ahead = ahead[:, ::-1] * (-1.0, 1.0, 1.0)
    yaw, pitch = np.radians(eyes.gaze)
    up = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    across = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    toward = ahead @ (across @ up).T
    ball = view.vertices[template.fine.regions[f"eyeball_{side}"]]
    centre = sphere_centre(ball)
    radius = float(np.median(np.linalg.norm(ball - centre, axis=1)))
    points = (centre + radius * toward).reshape(-1, 3)
    place = view.camera.project(points)
    offset = view.pixel[0] - view.place[0] / view.step  # the crop is a translated and scaled part of the photo
    clear = bilinear(np.asarray(inside[..., None]), place / view.step + offset)[:, 0].reshape(size, size)
    facing = (toward @ view.camera.rotation[2] > 0.2) & (ahead[..., 2] > 0.3)
    weight = np.clip((clear - LID_MM[0]) / (LID_MM[1] - LID_MM[0]), 0.0, 1.0) * facing
    colors = np.zeros((size, size, 3))
    rows = np.flatnonzero(weight.ravel() > 0)
    if len(rows):
        footprint = np.full(
            len(rows), radius * np.radians(IRIS_DEGREES) / (0.25 * size) * view.camera.scale, np.float32
        )
        shades = sample(view.photo, place[rows].astype(np.float32), footprint)
        colors.reshape(-1, 3)[rows] = shades
    return colors, np.asarray(weight)


def _in_light(colors: FloatArray, weight: FloatArray, painted: ByteArray) -> FloatArray:
    """Return the colours (s, s, 3) of the photo with the white in the light of the painted white, which is lighter
    where the photo has a shadow.
    """
    degrees = np.degrees(np.arccos(np.clip(directions(len(painted))[..., 2], -1.0, 1.0)))
    radius = degrees / IRIS_DEGREES  # the squares of both eyes have the iris in the middle
    white = (radius > WHITE_RADII[1]) & (weight > 0.0)
    if not white.any():
        return colors
    gain = painted[white].mean(axis=0) / np.maximum(colors[white].mean(axis=0), 1.0)
    share = np.clip((radius - WHITE_RADII[0]) / (WHITE_RADII[1] - WHITE_RADII[0]), 0.0, 1.0)[..., None]
    return np.asarray(colors * (1.0 + share * (gain - 1.0)))


def _without_reflections(colors: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the share (s, s) of the photo's pixels that show the eye, not what it reflects; the rest is painted.

    A reflection stays where the light is when the eye turns, so that it does not belong to a texture. In the pupil,
    which is black, all light is a reflection; on the iris, what is much lighter than usual.
    """
    degrees = np.degrees(np.arccos(np.clip(directions(len(weight))[..., 2], -1.0, 1.0)))
    radius, gray = degrees / IRIS_DEGREES, colors.mean(axis=2)
    iris = (radius > EyePicture.PUPIL) & (radius < WHITE_RADII[0]) & (weight > 0.0)
    share = np.clip((radius - PUPIL_RADII[0]) / (PUPIL_RADII[1] - PUPIL_RADII[0]), 0.0, 1.0)
    if iris.any():
        low, high = np.multiply(REFLECTION, np.median(gray[iris]))
        shining = np.clip((gray - low) / max(high - low, 1e-6), 0.0, 1.0) * (radius < WHITE_RADII[0])
        width = 2 * max(1, round(REFLECTION_WIDTH * len(weight))) + 1
        around = cv2.dilate(shining.astype(np.float32), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
        share *= 1.0 - cv2.blur(around, (width, width))
    return np.asarray(share)


def _sharpness(colors: FloatArray, weight: FloatArray, painted: ByteArray, eyes: Eyes) -> float:
    """Return in [0, 1] how sharp the photo shows the iris: the contrast of its fine structures beside painted ones."""
    size = len(weight)
    texel = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    iris = (np.hypot(*np.meshgrid(texel, texel)) < 0.5) & (weight > 0.5)
    if iris.sum() < 20:
        return 0.0
    sigma = DETAIL_MM / 12.0 / np.radians(IRIS_DEGREES) * 0.25 * size
    contrast = []
    for picture in (colors, painted):
        gray = np.asarray(picture, np.float32).mean(axis=2)
        contrast.append(float((gray - cv2.GaussianBlur(gray, (0, 0), sigma))[iris].std()))
    ratio = contrast[0] / max(contrast[1], 1e-6)
    return float(np.clip((ratio - SHARP[0]) / (SHARP[1] - SHARP[0]), 0.0, 1.0))
