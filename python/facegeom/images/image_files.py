"""Reading of photos and writing of pictures, as (h, w, 3) uint8 arrays in the channel order red, green, blue."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray
from facegeom._internal.files import write_bytes
from facegeom.errors import ImageError

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[Any]"

SMALLEST_SIDE = 16
"""Minimum width and height of a photo in pixels; no network can find a face in a smaller photo."""


def load_image(source: ImageSource) -> ByteArray:
    """Read a photo; return an (h, w, 3) uint8 RGB array in the orientation that EXIF states.

    Parameters
    ----------
    source : path, bytes of an image file, PIL image, or array
        An array is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), uint8 or uint16, in the channel order RGB(A).

    Returns
    -------
    (h, w, 3) uint8 array

    Raises
    ------
    FileNotFoundError
        When the path does not exist.
    ImageError
        When Pillow cannot read the bytes, the bytes are truncated, or the width or height is below 16 pixels.
    TypeError, ValueError
        When `source` is of a type, dtype or shape that is not listed above.

    Notes
    -----
    The EXIF orientation is applied. Transparent pixels are blended with white, gray is copied to three channels, CMYK
    is converted by Pillow, and 16 bits per channel are reduced to 8. The first frame of an animation is used.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"no such image: {path}")
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not an image")
        image = _decode(path.read_bytes(), str(path))
    elif isinstance(source, (bytes, bytearray, memoryview)):
        image = _decode(bytes(source), "the image")
    elif isinstance(source, Image.Image):
        image = _to_rgb(source, "the image")
    elif isinstance(source, np.ndarray):
        image = _array_to_rgb(source)
    else:
        raise TypeError(
            f"image must be a path, bytes, a PIL image or an (h, w, 3) uint8 array, got {type(source).__name__}"
        )
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(f"the image must be at least {SMALLEST_SIDE} pixels on each side, got {width} x {height}")
    return image


def save_image(image: npt.ArrayLike, path: str | os.PathLike[str]) -> None:
    """Write an (h, w, 3) uint8 RGB array as a PNG file."""
    write_bytes(path, png_bytes(check.rgb_image(image)))


def png_bytes(image: ByteArray) -> bytes:
    """Encode an (h, w, 3) uint8 RGB array as PNG; return the bytes of the file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=6)
    return buffer.getvalue()


def _decode(content: bytes, name: str) -> ByteArray:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return _to_rgb(image, name)
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not in an image format that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} is too large: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, ZeroDivisionError) as error:
        raise ImageError(f"{name} cannot be decoded: {error}") from error


def _to_rgb(image: Image.Image, name: str) -> ByteArray:
    if 0 in image.size:
        raise ImageError(f"{name} is empty: {image.size[0]} x {image.size[1]} pixels")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        return _deep_gray(np.asarray(upright))
    if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(white, rgba)
    return np.ascontiguousarray(upright.convert("RGB"))


def _deep_gray(values: npt.NDArray[Any]) -> ByteArray:
    """Convert gray values (h, w) of more than 8 bits to (h, w, 3) uint8 RGB.

    Integers up to 255 and floats from 1 to 255 are 8-bit values; larger integers are scaled from 65535, smaller floats
    from 1. Larger values are clipped.
    """
    gray = np.nan_to_num(values.astype(np.float64))
    deepest = 1.0 if values.dtype.kind == "f" else 65535.0
    top = 255.0 if 1.0 < gray.max() <= 255.0 or deepest < gray.max() else deepest
    gray = np.clip(np.rint(gray * (255.0 / top)), 0, 255).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _array_to_rgb(array: npt.NDArray[Any]) -> ByteArray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"image must be an (h, w, 3) uint8 RGB array (or gray, or RGBA), got shape {array.shape}")
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if array.dtype != np.uint8:
        raise TypeError(f"image must be an (h, w, 3) uint8 RGB array, got dtype {array.dtype}")
    if 0 in array.shape:
        raise ImageError(f"the image is empty: shape {array.shape}")
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[:, :, 3:].astype(np.uint16)
        return ((array[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(array)
