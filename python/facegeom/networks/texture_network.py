"""The interface of networks that complete textures, and the loader of the network that comes with facegeom."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend


class TextureNetwork(Protocol):
    """A trained network that completes textures, such as `networks.gated_inpainting.Inpainter`.

    Attributes
    ----------
    size : side S of the textures in texels
    region : (S, S) bool array, the part of the atlas that the network completes
    mean : (S, S, 3) uint8 array, mean of the training textures
    """

    size: int
    region: BoolArray
    mean: ByteArray

    def predict(self, textures: ByteArray, known: BoolArray) -> ByteArray:
        """Predict all texels, including known ones.

        Parameters
        ----------
        textures : (b, S, S, 3) uint8 array
        known : (b, S, S) bool array

        Returns
        -------
        (b, S, S, 3) uint8 array

        Raises
        ------
        ValueError, TypeError
            When the arrays have another type or shape.
        """


def load_texture_network(backend: str = DEFAULT_BACKEND) -> TextureNetwork:
    """Load the texture completion network that comes with facegeom; it runs on the CPU.

    Parameters
    ----------
    backend : "torch" or "onnx"

    Raises
    ------
    FacegeomError
        When the backend is not installed.
    WeightsError
        When the weight file is missing or damaged, or has another configuration.
    """
    check_backend(backend)
    from facegeom.networks.gated_inpainting import load_gated_inpainting

    return load_gated_inpainting()


def check_textures(textures: ByteArray, known: BoolArray, size: int) -> BoolArray:
    """Check textures (b, `size`, `size`, 3) uint8 and masks (b, `size`, `size`) bool; return the masks, contiguous.

    Raises
    ------
    ValueError, TypeError
        When the arrays have another type or shape.
    """
    if textures.dtype != np.uint8 or textures.ndim != 4 or textures.shape[1:] != (size, size, 3):
        raise ValueError(
            f"textures must be uint8 of shape (any, {size}, {size}, 3), got {textures.dtype} {textures.shape}"
        )
    return check.bool_array(known, "known", (len(textures), size, size))
