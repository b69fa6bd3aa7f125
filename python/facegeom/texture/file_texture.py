"""The texture of a file: the skin of a complete texture, the inside of the mouth, and painted eyes."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom.face_model.file_atlas import EYE_BOX, MOVED, Box


def file_texture(texture: ByteArray, eyes: Mapping[str, ByteArray]) -> ByteArray:
    """Return a texture in the atlas of files; see `facegeom.face_model.file_atlas`.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array in the atlas of the face model
    eyes : side ("left", "right") -> (s, s, 3) uint8 array, the square of an eyeball; see `facegeom.texture.eye_photo`
    """
    size = len(texture)
    result = np.zeros_like(texture)
    for old, new in MOVED[::-1]:  # the skin last
        part = texture[_rows(old, size), _columns(old, size)]
        rows, columns = _rows(new, size), _columns(new, size)
        room = (columns.stop - columns.start, rows.stop - rows.start)
        if not min(part.shape[:2]) or min(room) <= 0:
            continue
        smaller = room[0] <= part.shape[1] and room[1] <= part.shape[0]
        result[rows, columns] = cv2.resize(part, room, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    for side, box in EYE_BOX.items():
        rows, columns = _rows(box, size), _columns(box, size)
        room = (columns.stop - columns.start, rows.stop - rows.start)
        result[rows, columns] = cv2.resize(np.ascontiguousarray(eyes[side]), room, interpolation=cv2.INTER_LINEAR)
    return result


def _rows(box: Box, size: int) -> slice:
    """Return the rows of a rectangle of an atlas with `size` texels a side; v is up."""
    return slice(round((1.0 - box.high) * size), round((1.0 - box.low) * size))


def _columns(box: Box, size: int) -> slice:
    return slice(round(box.left * size), round(box.right * size))
