"""The crop of a head and the classes of its pixels, the input and output of the segmentation network, in NumPy."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import FloatArray

CLASSES = ("background", "skin", "head_hair", "facial_hair", "eyewear", "cover", "clothes")
"""Classes of pixels. Skin: face with eyes and lips, ears and neck. Cover: hats, masks, hands, microphones, cups."""
BACKGROUND, SKIN, HEAD_HAIR, FACIAL_HAIR, EYEWEAR, COVER, CLOTHES = range(len(CLASSES))

FRAME_MM = 280.0  # side of the crop; the head of the face model with its neck is 273 mm high
CENTRE_MM = np.array([0.0, -10.0, -45.0])  # point of the face frame in the middle of the crop, inside the skull


def head_affine(
    rotation: FloatArray, scale: float, translation: FloatArray, size: int, frame_mm: float = FRAME_MM
) -> FloatArray:
    """Return the similarity transform from pixels of a photo to pixels of the crop of a head, (2, 3).

    The crop is upright, whatever the roll of the head, and has the middle of the head in its centre.

    Parameters
    ----------
    rotation : (3, 3) float array, face frame to camera frame
    scale : pixels of the photo per mm
    translation : (2,) float array, pixel of the face frame's origin
    size : side of the crop in pixels
    frame_mm : side of the crop in mm
    """
    roll = np.arctan2(rotation[0, 1], rotation[1, 1])
    zoom = size / (frame_mm * scale)
    cosine, sine = zoom * np.cos(roll), zoom * np.sin(roll)
    linear = np.array([[cosine, sine], [-sine, cosine]])
    middle = translation + scale * (rotation @ CENTRE_MM)[:2] * (1.0, -1.0)
    return np.column_stack([linear, 0.5 * (size - 1) - linear @ middle])
