"""The direction of the eyes in a frame: the pixels between the lids, and the search for the iris among them.

`facegeom.texture.eyes` finds the gaze in photos; here its search sees the pixels that the contours of the eyes enclose,
so that no mesh has to be drawn in each frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.blendshapes import gaze_weights
from facegeom.face_model.fitting import CONTOURS
from facegeom.images.camera import Camera
from facegeom.images.sampling import bilinear
from facegeom.mesh.parts import sphere_centre
from facegeom.texture.eyes import EyePixels, Gaze, gaze_of

STEP_MM = 0.5
"""Distance of the samples of an eye."""

WITHIN = 0.9
"""Largest distance of a sample from the centre of the eyeball, radii: further out, the surface is seen at its edge."""

LEAST_OPEN_MM = 3.5
"""Smallest mean height of the opening of the lids in which the iris is searched."""

MOST_TURNED_DEG = 50.0
"""Largest yaw of the head at which the eyes are seen."""

GAIN, CENTRE = (1.07, 2.1), (0.0, 2.6)
"""Factors of yaw and pitch, and the found yaw and pitch of eyes that look ahead, degrees. The search shrinks the pitch,
because lids hide the upper and the lower edge of the iris. Measured on renders of seven validation portraits."""

MOST_DEG = (35.0, 20.0)
"""Largest yaw and pitch of a gaze, degrees."""

_SIDES = ("right", "left")
_COUNTS = tuple(len(part) for part in CONTOURS[:2])


class GazeFinder:
    """Finds the gaze of a person in frames.

    Parameters
    ----------
    model : FaceModel
    """

    def __init__(self, model: FaceModel) -> None:
        self._names = [name for name in model.expression_names if name.startswith("eyeLook")]
        self._rows = [model.expression_names.index(name) for name in self._names]
        self._balls = [np.flatnonzero(model.regions[f"eyeball_{side}"]) for side in _SIDES]
        self._last: Gaze | None = None
        self.identify(model.mean)

    def identify(self, neutral: FloatArray) -> None:
        """Set the vertices (n, 3) of the neutral face of the person, mm."""
        self._centres = [sphere_centre(neutral[ball]) for ball in self._balls]
        self._radii = [
            float(np.linalg.norm(neutral[ball] - centre, axis=1).mean())
            for ball, centre in zip(self._balls, self._centres, strict=True)
        ]

    def forget(self) -> None:
        """Forget the gaze of the last frame, as at a cut."""
        self._last = None

    def look(self, image: ByteArray, camera: Camera, contours: FloatArray) -> Gaze | None:
        """Return the gaze relative to the face, or None where no iris is seen, as in a blink.

        Parameters
        ----------
        image : (h, w, 3) uint8 array
        camera : Camera, projection from the face frame to pixels of the image
        contours : (m, 2) float array, pixels of the image; the first are those of the right and the left eye
        """
        if abs(camera.pose.yaw) > MOST_TURNED_DEG:
            return None
        parts = np.split(contours[: sum(_COUNTS)], [_COUNTS[0]])
        seen = [
            self._pixels(image, camera, part, centre, radius)
            for part, centre, radius in zip(parts, self._centres, self._radii, strict=True)
        ]
        toward = np.concatenate([toward for toward, _ in seen])
        left = np.repeat([False, True], [len(toward) for toward, _ in seen])
        gaze, sure = gaze_of(EyePixels(toward, np.concatenate([colors for _, colors in seen]), left), self._last)
        if not sure:
            return None
        self._last = gaze
        corrected = np.clip(np.multiply(GAIN, np.subtract(gaze, CENTRE)), np.negative(MOST_DEG), MOST_DEG)
        return Gaze(*corrected.tolist())

    def _pixels(
        self, image: ByteArray, camera: Camera, lids: FloatArray, centre: FloatArray, radius: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return directions (p, 3) from the centre of an eyeball, in the face frame, and colours (p, 3) of its samples
        between the lids (k, 2), pixels of the image.
        """
        middle = camera.project(centre[None])[0]
        around = (lids - middle) / camera.scale  # mm, y down
        half = int(radius / STEP_MM)
        drawn = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
        cv2.fillPoly(drawn, [np.rint((around / STEP_MM + half) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
        width = float(np.ptp(around[:, 0]))
        if drawn.sum() * STEP_MM**2 < LEAST_OPEN_MM * width:
            return np.zeros((0, 3)), np.zeros((0, 3))
        row, column = np.nonzero(cv2.erode(drawn, np.ones((3, 3), np.uint8)))
        place = (np.column_stack([column, row]) - half) * STEP_MM
        inside = (place**2).sum(1) < (WITHIN * radius) ** 2
        place = place[inside]
        depth = np.sqrt(radius**2 - (place**2).sum(1))
        toward = np.column_stack([place[:, 0], -place[:, 1], depth]) / radius @ camera.rotation
        return toward, bilinear(image, middle + place * camera.scale)

    def turned(self, expression: FloatArray, gaze: Gaze) -> FloatArray:
        """Return expression weights (e,) with the eyeLook weights of a gaze."""
        weights = gaze_weights(*gaze)
        result = expression.copy()
        for row, name in zip(self._rows, self._names, strict=True):
            side = "Left" if name.endswith("_L") else "Right"
            result[row] = weights[f"{name[:-2]}{side}"]
        return result
