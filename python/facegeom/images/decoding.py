"""Decoding of image files from untrusted sources with Pillow: named formats only, limits on reading and on memory.

`Image.open` is not used. It tries every format that Pillow knows, some of which start other programs (EPS:
Ghostscript), it warns above 89 megapixels and refuses above 179. Here, the first bytes select the reader of a format
that facegeom names, the reader reads the header, the size is compared with the limits, and only then pixels are
decoded.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import math
import os
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)

from facegeom._internal.arrays import ByteArray
from facegeom._internal.outputs import printable
from facegeom._internal.quiet import quiet
from facegeom.errors import FacegeomError, ImageError
from facegeom.images.limits import KEPT_PIXELS, MAX_PIXELS
from facegeom.images.photo import Photo

log = logging.getLogger("facegeom")

READERS = {
    "JPEG": JpegImagePlugin,
    "PNG": PngImagePlugin,
    "WEBP": WebPImagePlugin,
    "TIFF": TiffImagePlugin,
    "BMP": BmpImagePlugin,
    "GIF": GifImagePlugin,
    "PPM": PpmImagePlugin,
    "AVIF": AvifImagePlugin,
}
"""The formats that Pillow opens for facegeom, with the modules that register their readers; pi-heif opens HEIC."""

FORMAT_WORDS = "JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF and HEIC"

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
"""Brands at the start of a HEIC file; Pillow also opens the AVIF files whose brand is one of the last two."""

BYTES_PER_PIXEL = 4.0
"""Memory that decoding may take, in bytes for each of `max_pixels`: what Pillow needs for a picture in colour. The
limit is lower for pictures whose decoding takes more, so that the peak of memory is the same for all formats."""

DECODER_BYTES = {"WEBP": 18.0, "AVIF": 12.0, "HEIF": 12.0}
"""Memory of a decoder in bytes per pixel, including Pillow's picture, measured; other formats: `BYTES_PER_PIXEL`."""

LARGEST_READ = 256 * 2**20
"""Maximum number of bytes that are read into memory at once: the largest WebP, AVIF or HEIC file, and the largest
content of a file object. The readers of the other formats read files in pieces."""

MOST_READS = 500_000
"""Number of calls of `read` after which a file counts as damaged: some readers skip damaged parts byte by byte."""

MOST_SCANS = 10
"""Maximum number of scans of a JPEG file of `max_pixels`; each scan takes time for all pixels, so that a smaller photo
may have more."""

STRIP_PIXELS = 4_000_000
"""Number of pixels that are converted at once, so that there is no second copy of the whole picture."""

UPRIGHT: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image, 1),
}
"""EXIF orientation -> function from the stored image (h, w, 3) to the upright one."""

FLIPPED_X, FLIPPED_Y, SWAPPED = (2, 3, 7, 8), (3, 4, 6, 7), (5, 6, 7, 8)
"""EXIF orientations in which the stored image is mirrored in x or in y, and in which the axes are then swapped."""


class PixelLimitError(ImageError):
    """A picture has more pixels than `max_pixels` allows."""


class BoundedFile:
    """A binary file of `size` bytes for Pillow's readers, with limits on the size and the number of reads.

    Raises
    ------
    ImageError
        By `read`, when more than `LARGEST_READ` bytes are asked for, or at read number `MOST_READS`.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name, self._reads = file, name, 0
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        self._reads += 1
        if self._reads > MOST_READS:
            raise ImageError(f"{self._name} is damaged: it consists of too many parts")
        if size is not None and 0 <= size <= LARGEST_READ:
            return self._file.read(size)
        left = max(0, self.size - self._file.tell())
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > LARGEST_READ:
            raise ImageError(
                f"{self._name} is too large: {_mega(wanted)} MB, at most {_mega(LARGEST_READ)} MB are read"
            )
        return self._file.read(wanted)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()  # libtiff reads the file itself

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        return self._file.closed


@contextlib.contextmanager
def open_regular(path: str | os.PathLike[str], kind: str = "image") -> Iterator[IO[bytes]]:
    """Open a regular file to read; a FIFO, a device or a socket, which may never end, is refused without reading.

    Parameters
    ----------
    path : the file
    kind : what the file is, for messages

    Raises
    ------
    FileNotFoundError
        When the path does not exist.
    ImageError, or for other kinds FacegeomError
        When it is not a regular file, or cannot be opened.
    """
    shown = printable(os.fsdecode(path))
    refusal = ImageError if kind == "image" else FacegeomError
    try:
        # Without O_NONBLOCK, the opening of a FIFO waits for a writer.
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a null character
        raise FileNotFoundError(f"no such {kind}: {shown}") from error
    except OSError as error:
        if os.path.isdir(path):  # on Windows, folders cannot be opened
            raise refusal(f"{shown} is a folder, not a file") from error
        raise refusal(f"{shown} cannot be read: {error.strerror or error}") from error
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        if stat.S_ISDIR(mode):
            raise refusal(f"{shown} is a folder, not a file")
        raise refusal(f"{shown} is not a regular file, so it is not read")
    with open(number, "rb") as file:
        yield file


def read_stream(source: Any) -> bytes:
    """Return the rest of a binary file object.

    Raises
    ------
    ImageError
        When there are more than `LARGEST_READ` bytes, or reading fails.
    TypeError
        When the object is opened as text.
    """
    parts: list[bytes] = []
    total = 0
    while True:
        try:
            part = source.read(2**20)
        except (OSError, ValueError) as error:
            raise ImageError(f"the file object cannot be read: {one_line(error)}") from error
        if not isinstance(part, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"a file object must be binary: open it with mode 'rb' (read returned {type(part).__name__})"
            )
        if not part:
            return b"".join(parts)
        parts.append(bytes(part))
        total += len(part)
        if total > LARGEST_READ:
            raise ImageError(
                f"the content of a file object must be at most {_mega(LARGEST_READ)} MB: give a path instead"
            )


def decode(file: IO[bytes], name: str, max_pixels: int = MAX_PIXELS, kept_pixels: int = KEPT_PIXELS) -> Photo:
    """Decode an image file; a photo with more than `kept_pixels` is reduced by an integer factor.

    Parameters
    ----------
    file : seekable binary file
    name : name of the image in messages
    max_pixels : largest number of pixels, compared with the header before pixels are decoded
    kept_pixels : largest number of pixels of the result

    Raises
    ------
    ImageError
        When the format is not one of `READERS` or HEIC, the file is damaged, or the picture is too large.

    Notes
    -----
    JPEG is reduced by its decoder (by 2, 4 or 8); of other formats, the decoded picture is converted and averaged strip
    by strip. The peak of memory is about 4 bytes for each of `max_pixels`, plus the result.
    """
    try:
        with quiet():
            bounded = BoundedFile(file, name)
            image = _open(bounded, name)
            photo = _decode_opened(image, bounded, name, max_pixels, kept_pixels)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name} cannot be decoded: there is not enough memory") from error
    except Exception as error:  # for damaged files, Pillow's readers raise exceptions of many kinds
        raise ImageError(f"{name} cannot be decoded: {one_line(error)}") from error
    return photo


def from_pillow(image: Image.Image, name: str, max_pixels: int) -> Photo:
    """Convert an image that the caller opened with Pillow; `name` is its name in messages. Errors: see `decode`."""
    try:
        with quiet():
            check_pixels(image.size, name, max_pixels)
            image.load()
            return _photo(image, name, (image.width, image.height), 1, 1)
    except ImageError:
        raise
    except Exception as error:  # as in `decode`
        raise ImageError(f"{name} cannot be decoded: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Return the message of an exception of a library on one line of at most 200 characters."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def _open(file: BoundedFile, name: str) -> Image.Image:
    """Return the image of a file, whose header has been read, but no pixels."""
    prefix = file.read(64)
    if prefix[4:8] == b"ftyp" and prefix[8:12] in HEIC_BRANDS and b"avif" not in prefix:
        return _open_heic(file, name)
    for kind in READERS:
        factory, accept = Image.OPEN[kind]
        if accept is not None and accept(prefix[:16]) is True:
            file.seek(0)
            return factory(file, "")  # type: ignore[arg-type]
    raise ImageError(f"{name} is in no image format that facegeom reads: {FORMAT_WORDS}")


def _open_heic(file: BoundedFile, name: str) -> Image.Image:
    try:
        from pi_heif.as_plugin import HeifImageFile  # used directly: registering it would change Pillow for the caller
    except ImportError as error:
        raise ImageError(f"{name} is a HEIC photo, which needs pi-heif: pip install 'facegeom[heic]'") from error
    file.seek(0)
    image: Image.Image = HeifImageFile(file)
    return image


def _decode_opened(image: Image.Image, file: BoundedFile, name: str, max_pixels: int, kept_pixels: int) -> Photo:
    """Decode the pixels of an image whose header has been read."""
    check_pixels(image.size, name, max_pixels)
    size = image.size
    factor = math.ceil(math.sqrt(size[0] * size[1] / kept_pixels))
    drawn = 1  # reduction by the decoder
    if image.format in ("JPEG", "MPO"):
        drawn = next((scale for scale in (1, 2, 4, 8) if scale >= factor), 8)
        cost = _jpeg_cost(image, file, name, max_pixels) + BYTES_PER_PIXEL / drawn**2
        image.draft(None, (size[0] // drawn, size[1] // drawn))
        if image.size != (-(-size[0] // drawn), -(-size[1] // drawn)):
            drawn = 1
        factor = max(1, math.ceil(factor / drawn))
    elif image.format == "TIFF":
        cost = _tiff_cost(image, file)
    else:
        cost = DECODER_BYTES.get(str(image.format), BYTES_PER_PIXEL)
        if image.format == "PNG" and getattr(image, "is_animated", False):
            cost += BYTES_PER_PIXEL  # a second picture for the next frame
    limit = int(max_pixels * BYTES_PER_PIXEL / cost)
    if size[0] * size[1] > limit:
        raise PixelLimitError(
            f"{name} has {_mega(size[0] * size[1])} megapixels, but decoding this kind of {image.format} file takes "
            f"so much memory that the limit is {_mega(limit)} (max_pixels is {max_pixels})"
        )
    if image.format == "TIFF":
        _silence_libtiff()
        # The reader would refuse more than 179 megapixels where it makes the picture.
        image.im = Image.new(image.mode, getattr(image, "_tile_size", size)).im
    opened = image.size
    image.load()
    if image.size != opened:  # the decoder corrected the size in the header
        check_pixels(image.size, name, max_pixels)
        size = image.size
    return _photo(image, name, size, drawn, factor)


def check_pixels(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Raise ImageError if a picture of this width and height is empty or has more than `max_pixels`."""
    width, height = size
    if width * height > max_pixels:
        raise PixelLimitError(
            f"{name} has {width} x {height} pixels, and at most {max_pixels} are read; max_pixels sets this limit"
        )
    if not width * height:
        raise ImageError(f"{name} is empty: {width} x {height} pixels")


def _jpeg_cost(image: Any, file: BoundedFile, name: str, max_pixels: int) -> float:
    """Return the bytes per pixel that libjpeg needs for the coefficients of all scans; check the number of scans.

    A file with one scan is decoded row by row.
    """
    layers = [(h, v) for _, h, v, _ in image.layer]
    if not layers or (not image.info.get("progressive") and _components_of_first_scan(file) == len(layers)):
        return 0.0
    scans = 0
    file.seek(0)
    while part := file.read(2**20):
        scans += part.count(b"\xff\xda")
    if scans * image.width * image.height > MOST_SCANS * max(max_pixels, 10 * MOST_SCANS):
        raise ImageError(f"{name} has {scans} scans, which take too long to decode")
    largest: int = max(h for h, _ in layers) * max(v for _, v in layers)
    samples: int = sum(h * v for h, v in layers)
    return 2.0 * samples / largest


def _components_of_first_scan(file: BoundedFile) -> int:
    """Return the number of colour components in the first scan of a JPEG file, 0 if the scan is not found."""
    place = 2
    while True:
        file.seek(place)
        marker = file.read(5)
        if len(marker) < 5 or marker[0] != 0xFF:
            return 0
        if marker[1] == 0xDA:
            return marker[4]
        place += 1 if marker[1] == 0xFF else 2 + int.from_bytes(marker[2:4], "big")


def _tiff_cost(image: Any, file: BoundedFile) -> float:
    """Return the bytes per pixel for decoding a TIFF file: compressed strips are decoded one at a time, the file is
    mapped to memory, and Pillow turns a turned picture.
    """
    tags, pixels = image.tag_v2, image.width * image.height
    cost = BYTES_PER_PIXEL * (2.0 if tags.get(0x0112, 1) != 1 else 1.0)
    if image.tile and image.tile[0][0] == "libtiff":
        bits = tags.get(258, 8)
        deep = max(1.0, sum(bits if isinstance(bits, tuple) else [bits] * int(tags.get(277, 1))) / 8)
        block = int(tags.get(322, image.width)) * int(tags.get(323, min(image.height, int(tags.get(278, 2**31)))))
        cost += (file.size + deep * min(block, pixels)) / pixels
    return cost


@lru_cache(maxsize=1)
def _silence_libtiff() -> None:
    """Switch off the printing of errors by Pillow's libtiff; Pillow raises an exception all the same."""
    with contextlib.suppress(AttributeError, OSError):  # not exported on Windows
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        set_handler(None)


def _photo(image: Image.Image, name: str, size: tuple[int, int], drawn: int, factor: int) -> Photo:
    """Convert a decoded image to an upright photo.

    Parameters
    ----------
    size : width and height of the picture in the file, before any reduction
    drawn : factor by which the decoder has reduced the picture
    factor : factor by which it is to be reduced further
    """
    whole = drawn * factor
    stored = _rgb(image, factor, (size[0] // whole, size[1] // whole))
    left, top = (size[0] % whole, size[1] % whole)  # left out at the right and at the lower edge
    turned = _orientation(image, name)
    offset = (left if turned in FLIPPED_X else 0, top if turned in FLIPPED_Y else 0)
    if turned in SWAPPED:
        size, offset = size[::-1], offset[::-1]
    upright = np.ascontiguousarray(UPRIGHT[turned](stored)) if turned in UPRIGHT else stored
    return Photo(upright, size, whole, offset)


def _orientation(image: Image.Image, name: str) -> int:
    """Return the EXIF orientation, 1 (upright) if there is none."""
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # for damaged data, Pillow raises exceptions of many kinds; the pixels are complete
        log.warning("%s: the EXIF data are damaged, so the photo is taken as upright", name)
        return 1
    return found if isinstance(found, int) else 1


def _rgb(image: Image.Image, factor: int, size: tuple[int, int]) -> ByteArray:
    """Return a decoded image as an RGB array of the given width and height, reduced by `factor`, strip by strip."""
    width, height = size
    convert = _gray_converter(image) if image.mode in ("I", "F") or image.mode.startswith("I;16") else _strip_to_rgb
    result = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // max(1, image.width * factor))
    for row in range(0, height, rows):
        stop = min(height, row + rows)
        strip = convert(image.crop((0, row * factor, width * factor, stop * factor)))
        result[row:stop] = np.asarray(strip.reduce(factor) if factor > 1 else strip)
    return result


def _strip_to_rgb(strip: Image.Image) -> Image.Image:
    """Convert to RGB; transparent pixels are blended with white."""
    if strip.mode in ("La", "RGBa"):  # colours multiplied by alpha
        strip = strip.convert("LA" if strip.mode == "La" else "RGBA")
    if strip.mode in ("RGBA", "LA", "PA") or "transparency" in strip.info:
        rgba = strip.convert("RGBA")
        strip = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    return strip.convert("RGB")


def _gray_converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Return the conversion to RGB of the strips of a gray image of more than 8 bits, whose values give the range.

    Integers up to 255 and floats from 1 to 255 are 8-bit values; larger integers are scaled from 65535, smaller floats
    from 1. Larger values are clipped.
    """
    rows = max(1, STRIP_PIXELS // image.width)
    strips = (image.crop((0, y, image.width, min(image.height, y + rows))) for y in range(0, image.height, rows))
    largest = max(float(np.nan_to_num(np.asarray(strip, dtype=np.float64)).max()) for strip in strips)
    deepest = 1.0 if image.mode == "F" else 65535.0
    top = 255.0 if 1.0 < largest <= 255.0 or deepest < largest else deepest

    def convert(strip: Image.Image) -> Image.Image:
        gray = np.nan_to_num(np.asarray(strip, dtype=np.float64)) * (255.0 / top)
        return Image.fromarray(np.clip(np.rint(gray), 0, 255).astype(np.uint8)).convert("RGB")

    return convert


def _mega(count: int) -> str:
    """Return a count in millions, with three digits."""
    return f"{count / 1e6:.3g}"
