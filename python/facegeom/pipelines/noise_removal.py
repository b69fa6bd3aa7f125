"""Removal of noise before the networks see a photo: `denoise` of `facegeom.reconstruct`.

The noise is estimated around each face, at about the size at which the networks see it: noise that is averaged out
there needs no removal. Of a noisy face, the surroundings are reduced to this size, denoised, and put back into a copy
of the photo, so that every crop that a network sees is without noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom._internal.threads import load_once, one_thread
from facegeom.detection import Detector, detector
from facegeom.detection.found_face import FoundFace
from facegeom.images.boxes import Box, BoxLike
from facegeom.images.crop import crop_box
from facegeom.images.noise_level import noise_level
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.denoising.cleaner import Cleaner

Denoise = Literal["auto", True, False]

NOISY = 0.08
"""Noise level, relative to full scale, from which "auto" removes noise.

On eight frontal validation portraits with faces of 100 pixels, noise of 0.07 and its removal move the landmarks alike
(0.41 and 0.42 % of the size of the face); at 0.05 it is 0.25 and 0.36 %, at 0.1 0.63 and 0.54 %. Command: `facegeom
evaluate noise PORTRAITS --labels LABELS --part validation --count 8 --noise 0.03 0.05 0.07 0.1 --denoise on`. The
largest level of the 197 validation portraits themselves is 0.02.
"""

JUDGED, JUDGED_SIDE = 1.58, 128
"""Side of the square whose noise is estimated / mean side of the face's box, as that of the first crop of the networks;
and the longer side in pixels that remains at least when it is reduced by a whole number."""

AROUND, AROUND_SIDE = 3.2, 256
"""Side of the denoised square / mean side of the face's box: the whole head; and its largest side in pixels. The
networks were trained with 0.35 to 0.7 pixels per mm."""

WHOLE_HEAD = 1.8
"""Side of the square in which colours are denoised / side of the crop of the face, which has about 230 mm."""

SEARCH_SIDE = 320
"""Longer side in pixels of the photo in which noisy faces are sought."""


def check_denoise(denoise: object) -> Denoise:
    """Return the argument `denoise`.

    Raises
    ------
    ValueError
        When it is neither "auto" nor True nor False.
    """
    if isinstance(denoise, (bool, np.bool_)):
        return bool(denoise)
    if isinstance(denoise, str) and denoise == "auto":
        return "auto"
    raise ValueError(f"denoise must be 'auto', True or False, got {denoise!r}")


@load_once(maxsize=4)
@one_thread()
def shipped_cleaner(device: str, backend: str) -> Cleaner:
    """Return the networks of the package; they are loaded once per process."""
    return Cleaner(device, backend)


@dataclass(frozen=True)
class NoiseRemoval:
    """Whether noise is removed, and where the networks run.

    Attributes
    ----------
    denoise : "auto": where the estimated noise is at least `NOISY`; True: always; False: never
    device, backend : as in `facegeom.reconstruct`
    """

    denoise: Denoise = False
    device: str = "cpu"
    backend: str = DEFAULT_BACKEND

    def around(self, photo: ByteArray, box: BoxLike) -> ByteArray:
        """Return the photo as the networks see a face in a box: with clean surroundings, or the photo itself."""
        if self.denoise is False or (self.denoise == "auto" and face_noise(photo, box) < NOISY):
            return photo
        return with_clean_square(photo, box, self._cleaner.clean)

    def search(
        self, photo: ByteArray, name: Detector, min_face: float | None, min_score: float | None = None
    ) -> list[FoundFace]:
        """Search for faces, in a photo in which none was found, after its noise is removed.

        Parameters
        ----------
        photo : (h, w, 3) uint8 array
        name, min_face, min_score : as in `detection.detector.find_faces`; `min_face` in pixels of the photo

        Returns
        -------
        list of FoundFace
            In pixels of the photo; none if the photo is not noisy.
        """
        if self.denoise is False:
            return []
        small = _reduced(photo, SEARCH_SIDE)
        if self.denoise == "auto" and noise_level(small) < NOISY:
            return []
        step = max(photo.shape[:2]) / max(small.shape[:2])
        least = None if min_face is None else min_face / step
        faces = detector.find_faces(self._cleaner.clean(small), min_face=least, min_score=min_score, detector=name)
        return [replace(face, box=_enlarged(face.box, step), upright=_enlarged(face.upright, step)) for face in faces]

    def colours(self, photo: ByteArray, crop: BoxLike) -> ByteArray:
        """Return the photo as the texture shows it: with `denoise` True without noise around the crop of a face."""
        if self.denoise is not True:
            return photo
        part, clean = _part(photo, crop, WHOLE_HEAD), photo.copy()
        clean[part] = self._cleaner.clean_in_tiles(np.ascontiguousarray(photo[part]))
        return clean

    @property
    def _cleaner(self) -> Cleaner:
        return shipped_cleaner(self.device, self.backend)


NEVER = NoiseRemoval()


def face_noise(photo: ByteArray, box: BoxLike) -> float:
    """Return the noise level of the surroundings of a face, at about the size at which the networks see them.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    box : x0, y0, x1, y1 of the 68 landmarks in pixels of the photo
    """
    part = photo[_part(photo, box, JUDGED)]
    step = max(1, max(part.shape[:2]) // JUDGED_SIDE)
    rows, columns = part.shape[0] // step, part.shape[1] // step
    if step > 1 and rows and columns:
        part = np.asarray(
            cv2.resize(part[: rows * step, : columns * step], (columns, rows), interpolation=cv2.INTER_AREA), np.uint8
        )
    return noise_level(part) if min(part.shape[:2]) >= 3 else 0.0


def with_clean_square(photo: ByteArray, box: BoxLike, clean: Callable[[ByteArray], ByteArray]) -> ByteArray:
    """Return a copy of a photo whose noise is removed in the square around a face, at most `AROUND_SIDE` pixels wide.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    box : x0, y0, x1, y1 of the 68 landmarks in pixels of the photo
    clean : function that removes the noise of an image
    """
    rows, columns = _part(photo, box, AROUND)
    part = photo[rows, columns]
    made = clean(_reduced(part, AROUND_SIDE))
    if made.shape != part.shape:
        made = np.asarray(cv2.resize(made, part.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    cleaned = photo.copy()
    cleaned[rows, columns] = made
    return cleaned


def _part(photo: ByteArray, box: BoxLike, factor: float) -> tuple[slice, slice]:
    """Return the rows and columns of the part of a photo in the square around a box, at least one pixel of each."""
    x0, y0, x1, y1 = crop_box(box, factor)
    ends = []
    for low, high, length in ((y0, y1, photo.shape[0]), (x0, x1, photo.shape[1])):
        first = int(np.clip(low, 0, length - 1))
        ends.append(slice(first, int(np.clip(np.ceil(high), first + 1, length))))
    return ends[0], ends[1]


def _reduced(image: ByteArray, side: int) -> ByteArray:
    """Return an image whose longer side is at most `side` pixels."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(image)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _enlarged(box: Box, step: float) -> Box:
    """Return a box of an image in pixels of the photo, which is larger by a factor."""
    x0, y0, x1, y1 = ((side + 0.5) * step - 0.5 for side in box)
    return x0, y0, x1, y1
