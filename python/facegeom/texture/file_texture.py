"""The texture of a file: the skin of a complete texture, the inside of the mouth, and painted eyes and teeth."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom.face_model.file_atlas import EYE_BOX, MOVED, TEETH_BOX


def file_texture(texture: ByteArray, eyes: Mapping[str, ByteArray], teeth: ByteArray) -> ByteArray:
    """Return a texture in the atlas of files; see `facegeom.face_model.file_atlas`.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array in the atlas of the face model
    eyes : side ("left", "right") -> (s, s, 3) uint8 array, the square of an eyeball; see `facegeom.texture.eye_photo`
    teeth : (h, w, 3) uint8 array, the rectangle of the teeth; see `facegeom.texture.teeth`
    """
    size = len(texture)
    result = np.zeros_like(texture)
    for old, new in MOVED[::-1]:  # the skin last
        part = texture[old.texels(size)]
        rows, columns = new.texels(size)
        room = (columns.stop - columns.start, rows.stop - rows.start)
        if not min(part.shape[:2]) or min(room) <= 0:
            continue
        smaller = room[0] <= part.shape[1] and room[1] <= part.shape[0]
        result[rows, columns] = cv2.resize(part, room, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    result[TEETH_BOX.texels(size)] = teeth
    for side, box in EYE_BOX.items():
        rows, columns = box.texels(size)
        room = (columns.stop - columns.start, rows.stop - rows.start)
        result[rows, columns] = cv2.resize(np.ascontiguousarray(eyes[side]), room, interpolation=cv2.INTER_LINEAR)
    return result
