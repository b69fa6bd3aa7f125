"""A photo as it was read, and the pixels of the photo file if it was reduced on reading."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facegeom._internal.arrays import ByteArray

if TYPE_CHECKING:
    from facegeom.images.boxes import Box, Detection
    from facegeom.images.camera import Camera
    from facegeom.images.face_maps import FaceMaps


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright photo, and how its pixels are related to those of the photo that was given.

    The pipelines work on `image`. Everything that the public functions take and return is in pixels of the given photo;
    the methods convert. For a photo that was not reduced they change nothing.

    Attributes
    ----------
    image : (h, w, 3) uint8 array, RGB
    size : width and height of the given photo, upright
    reduction : number of pixels of the given photo, along each axis, that one pixel of `image` averages
    offset : x and y of the corner of `image` in the given photo, in pixels from its own corner, below `reduction`: a
        remainder of the size that fills no pixel of `image` is left out, on the left or top if the photo was turned
    """

    image: ByteArray
    size: tuple[int, int]
    reduction: int = 1
    offset: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, image: ByteArray) -> Photo:
        """Return an array (h, w, 3) as a photo that was not reduced."""
        return cls(image, (image.shape[1], image.shape[0]))

    def box_in_image(self, box: Box) -> Box:
        """Convert a box from pixels of the given photo to pixels of `image`."""
        if self.reduction == 1:
            return box
        x, y = self.offset
        x0, y0, x1, y1 = (
            (side - shift + 0.5) / self.reduction - 0.5 for side, shift in zip(box, (x, y, x, y), strict=True)
        )
        return x0, y0, x1, y1

    def length_in_image(self, length: float | None) -> float | None:
        """Convert a length from pixels of the given photo to pixels of `image`; None stays None."""
        return None if length is None else length / self.reduction

    def box_in_photo(self, box: Box) -> Box:
        """Convert a box from pixels of `image` to pixels of the given photo."""
        if self.reduction == 1:
            return box
        x, y = self.offset
        x0, y0, x1, y1 = (
            (side + 0.5) * self.reduction - 0.5 + shift for side, shift in zip(box, (x, y, x, y), strict=True)
        )
        return x0, y0, x1, y1

    def detection_in_photo(self, found: Detection) -> Detection:
        """Convert the box of a detection from pixels of `image` to pixels of the given photo."""
        return (*self.box_in_photo(found[:4]), found[4])

    def camera_in_photo(self, camera: Camera) -> Camera:
        """Convert a camera that projects to pixels of `image` to one that projects to pixels of the given photo."""
        if self.reduction == 1:
            return camera
        translation = (camera.translation + 0.5) * self.reduction - 0.5 + np.array(self.offset)
        return replace(camera, scale=camera.scale * self.reduction, translation=translation)

    def maps_in_photo(self, maps: FaceMaps) -> FaceMaps:
        """Convert the box of maps from pixels of `image` to pixels of the given photo."""
        return maps if self.reduction == 1 else replace(maps, box=self.box_in_photo(maps.box))
