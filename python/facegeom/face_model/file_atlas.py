"""The atlas of files, in which the eyes have more room than in the atlas of the face model.

The texture of a face is made in the atlas of the face model, in which the completion network was trained: there the
eyeballs are small charts with only what a photo shows. In the atlas of files the skin is a little lower, and the strip
below it has two large charts for the eyeballs, in which the texture of the whole ball can be painted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.mesh.parts import sphere_centre

MODEL_STRIP = 0.078
"""Height of the strip below the skin in the atlas of the face model, in v."""

STRIP = 0.2
"""Height of the strip below the skin in the atlas of files, in v: 205 texels of a texture of 1,024."""

MARGIN = 0.0025
"""Margin around the disc of an eyeball in its square, in uv."""

IRIS_DEGREES = 22.0
"""Half angle that the iris subtends at the centre of the eyeball, degrees."""

RADII = ((0.0, 0.0), (IRIS_DEGREES, 0.5), (75.0, 0.92), (180.0, 1.0))
"""Angle from the front of an eyeball in degrees -> distance from the centre of its disc, in radii of the disc."""


class Box(NamedTuple):
    """A rectangle of an atlas: its left, right, lower and upper edge in uv."""

    left: float
    right: float
    low: float
    high: float

    def mirrored(self) -> Box:
        """Return the mirror image in the other half of the atlas."""
        return Box(1.0 - self.right, 1.0 - self.left, self.low, self.high)

    def texels(self, size: int) -> tuple[slice, slice]:
        """Return the rows and columns of the rectangle in an atlas with `size` texels a side; v is up."""
        rows = slice(round((1.0 - self.high) * size), round((1.0 - self.low) * size))
        return rows, slice(round(self.left * size), round(self.right * size))


EYE_BOX = {"left": Box(1.0 - STRIP, 1.0, 0.0, STRIP), "right": Box(0.0, STRIP, 0.0, STRIP)}
"""Square of each eyeball in the atlas of files; the subject's left is on the right side."""

TEETH_BOX = Box(0.26, 0.74, 0.5 * STRIP, STRIP)
"""Rectangle of the teeth in the atlas of files."""

_MOVED_LEFT = (
    (Box(0.500, 0.690, 0.0, MODEL_STRIP), Box(0.5, 0.8, 0.0, 0.5 * STRIP)),  # mouth socket, gums and tongue
    (Box(0.690, 0.872, 0.0, MODEL_STRIP), Box(0.5, TEETH_BOX.right, 0.5 * STRIP, STRIP)),  # teeth
    (Box(0.872, 0.922, 0.0, MODEL_STRIP), Box(0.74, 0.8, 0.5 * STRIP, STRIP)),  # eye socket
)

MOVED = (
    (Box(0.0, 1.0, MODEL_STRIP, 1.0), Box(0.0, 1.0, STRIP, 1.0)),
    *_MOVED_LEFT,
    *((old.mirrored(), new.mirrored()) for old, new in _MOVED_LEFT),
)
"""Rectangles of the atlas of the face model, and where they are in the atlas of files; the first is the skin."""


def file_uv(
    V: FloatArray, faces: IntArray, uv: FloatArray, uv_faces: IntArray, balls: dict[str, BoolArray]
) -> FloatArray:
    """Return the texture coordinates (k, 2) in the atlas of files.

    Parameters
    ----------
    V : (n, 3) float array, mm, vertices of the mean face
    faces, uv, uv_faces : (m, 3), (k, 2) and (m, 3) arrays, the mesh with the atlas of the face model
    balls : side ("left", "right") -> (n,) mask of the vertices of the eyeball
    """
    result = np.zeros_like(uv)
    skin = uv[:, 1] > MODEL_STRIP - 1e-3
    for number, (old, new) in enumerate(MOVED):
        inside = skin if number == 0 else ~skin & (uv[:, 0] >= old.left) & (uv[:, 0] < old.right)
        share = (uv[inside] - (old.left, old.low)) / (old.right - old.left, old.high - old.low)
        result[inside] = share * (new.right - new.left, new.high - new.low) + (new.left, new.low)
    for side, members in balls.items():
        if members.any():
            _place_ball(result, V, faces, uv_faces, members, EYE_BOX[side])
    return result


def _place_ball(
    result: FloatArray, V: FloatArray, faces: IntArray, uv_faces: IntArray, members: BoolArray, box: Box
) -> None:
    """Set the texture coordinates of an eyeball: a disc around its front point; the point at the back is its rim.

    Some triangles at the back, where the ball is white, overlap in the narrow rim.
    """
    arm = V - sphere_centre(V[members])
    arm /= np.maximum(np.linalg.norm(arm, axis=1, keepdims=True), 1e-9)
    back = int(np.flatnonzero(members)[arm[members, 2].argmin()])
    own = members[faces].all(axis=1)
    for corners, rows in zip(faces[own], uv_faces[own], strict=True):
        sides = arm[corners, :2].copy()
        sides[corners == back] = arm[corners[corners != back], :2].sum(axis=0)
        across = sides / np.maximum(np.linalg.norm(sides, axis=1, keepdims=True), 1e-9)
        radius = disc_radius(np.degrees(np.arccos(np.clip(arm[corners, 2], -1.0, 1.0))))
        result[rows] = (box.left + box.right) / 2, (box.low + box.high) / 2
        result[rows] += (0.5 * (box.right - box.left) - MARGIN) * radius[:, None] * across


def disc_radius(degrees: npt.NDArray[np.floating]) -> FloatArray:
    """Return the distance from the centre of an eyeball's disc, in its radii, at angles from the front in degrees."""
    angles, radii = np.array(RADII).T
    return np.asarray(np.interp(degrees, angles, radii), np.float64)


def disc_angle(radius: npt.NDArray[np.floating]) -> FloatArray:
    """Return the inverse of `disc_radius`."""
    angles, radii = np.array(RADII).T
    return np.asarray(np.interp(radius, radii, angles), np.float64)
