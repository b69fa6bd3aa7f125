"""Reading of photos and writing of pictures, as (h, w, 3) uint8 arrays in the channel order red, green, blue."""

from __future__ import annotations

import io
import os
import sys
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray
from facegeom._internal.files import write_bytes
from facegeom._internal.outputs import printable
from facegeom.errors import ImageError
from facegeom.images.decoding import (
    STRIP_PIXELS,
    check_pixels,
    decode,
    from_pillow,
    open_regular,
    read_stream,
)
from facegeom.images.limits import KEPT_PIXELS, MAX_PIXELS
from facegeom.images.photo import Photo

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | npt.NDArray[Any] | Photo"
"""What the public functions accept as a photo. A torch tensor is accepted, too; torch is not imported for it."""

SMALLEST_SIDE = 16
"""Minimum width and height of a photo in pixels; no network can find a face in a smaller photo."""

CHANNELS = (1, 3, 4)  # gray, RGB, RGBA


def load_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> ByteArray:
    """Read a photo; return an (h, w, 3) uint8 RGB array in the orientation that EXIF states.

    Parameters
    ----------
    source : path, bytes of an image file, binary file object, PIL image, array or torch tensor
        A file is in one of the formats JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF and, with the extra `heic`, HEIC. An
        array is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) in the channel order RGB(A): uint8, uint16, or float in
        [0, 1]. A tensor may also have the channels first.
    max_pixels : largest number of pixels of the photo. Some decoders need more memory for each pixel, and their limits
        are lower: 0.22 of it for WebP, 0.33 for AVIF and HEIC, down to 0.6 for progressive JPEG and 0.4 for compressed
        TIFF.

    Returns
    -------
    (h, w, 3) uint8 array
        A photo from a file with more than 40 megapixels is reduced by an integer factor, so that at most 40 remain.

    Raises
    ------
    FileNotFoundError
        When the path does not exist.
    ImageError
        When the file is no regular file, in none of the formats, damaged or has too many pixels, or the width or height
        is below 16 pixels.
    TypeError, ValueError
        When `source` is of a type, dtype or shape that is not listed above, or `max_pixels` is not a positive integer.

    Notes
    -----
    The EXIF orientation is applied. Transparent pixels are blended with white, gray is copied to three channels, CMYK
    is converted by Pillow, and 16 bits per channel are reduced to 8. The first frame of an animation is used. Decoding
    takes up to 4 bytes of memory for each of `max_pixels`, 1 GB by default.

    `facegeom.reconstruct` and `facegeom.detect` take what this function takes, and their boxes and cameras are in
    pixels of the photo in the file, also when it was reduced. If they get the array that this function returned, their
    boxes and cameras are in pixels of that array.
    """
    return read_photo(source, max_pixels=max_pixels).image


def read_photo(source: ImageSource, *, max_pixels: int = MAX_PIXELS, kept_pixels: int = KEPT_PIXELS) -> Photo:
    """Read a photo; return it with the factor by which it was reduced. Arguments and errors: see `load_image`.

    `kept_pixels` is the number of pixels above which a photo from a file is reduced. A `Photo` is returned as it is.
    """
    max_pixels = check.count(max_pixels, "max_pixels", 1)
    if isinstance(source, Photo):
        return source
    if isinstance(source, (str, os.PathLike)):
        with open_regular(source) as file:
            photo = decode(file, printable(os.fsdecode(source)), max_pixels, kept_pixels)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        photo = decode(io.BytesIO(bytes(source)), "the image", max_pixels, kept_pixels)
    elif isinstance(source, Image.Image):
        photo = from_pillow(source, "the image", max_pixels)
    elif isinstance(source, np.ndarray):
        photo = Photo.of(_array_to_rgb(np.asarray(source), max_pixels))  # without a mask
    elif _is_tensor(source):
        photo = Photo.of(_array_to_rgb(_tensor_to_array(source), max_pixels))
    elif callable(getattr(source, "read", None)):
        photo = decode(io.BytesIO(read_stream(source)), "the image", max_pixels, kept_pixels)
    else:
        raise TypeError(
            "image must be a path, bytes, a binary file object, a PIL image, an (h, w, 3) uint8 array or a torch "
            f"tensor, got {type(source).__name__}: convert it with numpy.asarray"
        )
    height, width = photo.image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        reduced = "" if photo.reduction == 1 else f" after a reduction by {photo.reduction}"
        raise ImageError(
            f"the image must be at least {SMALLEST_SIDE} pixels on each side, got {width} x {height}{reduced}"
        )
    return photo


def save_image(image: npt.ArrayLike, path: str | os.PathLike[str]) -> None:
    """Write an (h, w, 3) uint8 RGB array as a PNG file."""
    write_bytes(path, png_bytes(check.rgb_image(image)))


def png_bytes(image: ByteArray) -> bytes:
    """Encode an (h, w, 3) uint8 RGB array as PNG; return the bytes of the file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=6)
    return buffer.getvalue()


def _is_tensor(source: Any) -> bool:
    torch = sys.modules.get("torch")  # without torch, nothing is a tensor
    return torch is not None and isinstance(source, torch.Tensor)


def _tensor_to_array(tensor: Any) -> npt.NDArray[Any]:
    """Return a torch tensor (c, h, w), (h, w, c) or (h, w) as an array with the channels last."""
    try:
        if tensor.is_floating_point():
            tensor = tensor.float()  # NumPy has no bfloat16
        array: npt.NDArray[Any] = tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
    except (NotImplementedError, RuntimeError, TypeError) as error:  # sparse, quantized, or without data
        raise TypeError(f"image must be a dense tensor with data, got {tensor.layout} on {tensor.device}") from error
    if array.ndim == 4:
        raise ValueError(f"image must be one photo, got a batch of shape {tuple(array.shape)}: give batch[0]")
    if array.ndim == 3 and array.shape[0] in CHANNELS:
        array = array.transpose(1, 2, 0)
    return array


def _array_to_rgb(array: npt.NDArray[Any], max_pixels: int) -> ByteArray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in CHANNELS:
        first = array.ndim == 3 and array.shape[0] in CHANNELS
        hint = ": move the channels to the end with image.transpose(1, 2, 0)" if first else ""
        raise ValueError(f"image must be an (h, w, 3) RGB array (or gray, or RGBA), got shape {array.shape}{hint}")
    if array.dtype.kind != "f" and array.dtype not in (np.uint8, np.uint16):
        raise TypeError(
            f"image must be an array of uint8, uint16 or float in [0, 1], got dtype {array.dtype}: convert values from "
            "0 to 255 with image.astype(numpy.uint8)"
        )
    if 0 in array.shape:
        raise ImageError(f"the image is empty: shape {array.shape}")
    height, width, channels = array.shape
    check_pixels((width, height), "the image", max_pixels)
    if array.dtype == np.uint8 and channels == 3:
        return np.ascontiguousarray(array)
    result = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // width)
    for row in range(0, height, rows):
        strip = _to_bytes(array[row : row + rows])
        if channels == 4:
            alpha = strip[:, :, 3:].astype(np.uint16)
            strip = ((strip[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
        result[row : row + rows] = strip
    return result


def _to_bytes(array: npt.NDArray[Any]) -> ByteArray:
    """Convert uint16, or floats in [0, 1], to uint8."""
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if array.dtype.kind != "f":
        return array
    low, high = float(array.min()), float(array.max())
    if not 0.0 <= low <= high <= 1.0:  # also false for NaN
        raise ValueError(
            f"an image of {array.dtype} must lie in [0, 1], got {low:.6g} to {high:.6g}: divide by the value of white, "
            "or convert values from 0 to 255 with image.astype(numpy.uint8)"
        )
    return np.rint(array.astype(np.float64) * 255.0).astype(np.uint8)
