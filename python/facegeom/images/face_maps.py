"""Maps of a face: depth, correspondence and mask for each pixel of a crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom.images.boxes import Box
from facegeom.images.crop import crop_affine


@dataclass(frozen=True, eq=False)
class FaceMaps:
    """Depth, correspondence and mask of a square crop; the arrays are read-only copies.

    Attributes
    ----------
    image : (S, S, 3) uint8 array, RGB
        Pixels of the crop.
    depth : (S, S) float array
        Depth in mm in the camera frame, +z to the camera, 0 at the origin of the face frame; NaN outside `mask`.
    correspondence : (S, S, 3) float array
        The point of the mean face (mm, face frame) that each pixel shows; NaN outside `mask`.
    mask : (S, S) bool array
        True where the pixel shows the face.
    box : tuple of four floats
        x0, y0, x1, y1 of the crop in pixels of the photo (see `facegeom.images.crop`).

    Raises
    ------
    ValueError, TypeError
        When the arrays have different sizes, or depth or correspondence is not finite inside the mask.
    """

    image: ByteArray
    depth: FloatArray
    correspondence: FloatArray
    mask: BoolArray
    box: Box

    def __post_init__(self) -> None:
        image = check.rgb_image(self.image).copy()
        size = image.shape[0]
        mask = check.bool_array(self.mask, "mask", (size, size)).copy()
        depth = check.float_array(self.depth, "depth", (size, size), allow_nan=True).copy()
        correspondence = check.float_array(
            self.correspondence, "correspondence", (size, size, 3), allow_nan=True
        ).copy()
        if image.shape[1] != size:
            raise ValueError(f"image must be square, got shape {image.shape}")
        if not np.isfinite(depth[mask]).all() or not np.isfinite(correspondence[mask]).all():
            raise ValueError("depth and correspondence must be finite inside the mask, got NaN or infinity")
        depth[~mask] = np.nan
        correspondence[~mask] = np.nan
        for name, array in (("image", image), ("depth", depth), ("correspondence", correspondence), ("mask", mask)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        x0, y0, x1, y1 = check.box(self.box).tolist()
        object.__setattr__(self, "box", (x0, y0, x1, y1))

    def __repr__(self) -> str:
        """Return a short description without the arrays."""
        return f"FaceMaps({self.size} x {self.size} pixels, box=({', '.join(f'{side:.1f}' for side in self.box)}))"

    @property
    def size(self) -> int:
        """Side length S of the square maps in pixels."""
        return len(self.mask)

    @property
    def step(self) -> float:
        """Width of one pixel of the crop, in pixels of the photo."""
        return (self.box[2] - self.box[0]) / self.size

    @property
    def affine(self) -> FloatArray:
        """The affine map (2, 3) from pixels of the photo to pixels of the crop."""
        return crop_affine(self.box, self.size)
