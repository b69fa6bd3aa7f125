"""Output of the benchmarks: text tables, JSON files, sheets of pictures."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom._internal.files import write_atomically
from facegeom.images.pictures import fit_square

GAP = 2  # distance between the tiles of a sheet, pixels
CAPTION = 15  # height of the caption above a tile, pixels
TEXT_COLOR, SHEET_GRAY = (235, 235, 235), 24


def table(header: Sequence[str], rows: Sequence[Sequence[str | float | int]], digits: int = 2) -> str:
    """Return a plain-text table; the first column is aligned to the left, the others to the right.

    Parameters
    ----------
    header : headings of the k columns
    rows : k cells per row; NaN is printed as "-"
    digits : decimal places of the floating-point cells

    Examples
    --------
    >>> print(table(["", "error"], [["mean", 1.234], ["worst", 10.0]]))
           error
    -----  -----
    mean    1.23
    worst  10.00
    """
    cells = [list(header), *([_cell(value, digits) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _cell(value: str | float | int, digits: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def show(text: str) -> None:
    """Print the result of a benchmark to the standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_json(path: str | Path, results: Any) -> None:
    """Write results to a JSON file.

    Parameters
    ----------
    path : path of the file; an existing file is replaced only after all results were written
    results : dicts, lists, dataclasses, arrays, numbers and strings, nested; floats are rounded to 6 digits, and NaN
        and infinity become null
    """
    text = json.dumps(_plain(results), indent=1, allow_nan=False) + "\n"

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def picture_folder(path: str | Path) -> Path:
    """Create the folder `path` if it does not exist, and return it."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sheet(tiles: Sequence[ByteArray], columns: int, size: int, captions: Sequence[str] | None = None) -> ByteArray:
    """Arrange pictures in a grid on a dark background, row by row.

    Parameters
    ----------
    tiles : (h, w, 3) uint8 arrays, each scaled to fit into a square
    columns : number of pictures per row
    size : side length of each square, pixels
    captions : one caption per picture, drawn above it; None: no captions

    Returns
    -------
    (H, W, 3) uint8 array
    """
    columns = check.count(columns, "columns", 1)
    head = CAPTION if captions is not None else 0
    rows = -(-len(tiles) // columns)
    step_x, step_y = size + GAP, size + head + GAP
    page = np.full((rows * step_y + GAP, columns * step_x + GAP, 3), SHEET_GRAY, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = GAP + row * step_y, GAP + column * step_x
        if captions is not None:
            write_text(page, captions[number], (left + 1, top + CAPTION - 4), width=size)
        page[top + head : top + head + size, left : left + size] = fit_square(tile, size)
    return page


def write_text(image: ByteArray, text: str, place: tuple[int, int], width: int | None = None) -> None:
    """Draw one line of small text into an image; the image is changed.

    Parameters
    ----------
    image : (h, w, 3) uint8 array, changed by this function
    text : the line of text
    place : x and y of the left end of the baseline, pixels
    width : largest width of the text, pixels; a longer line is scaled down; None: no limit
    """
    scale = 0.38
    length = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]
    if width is not None and length > width:
        scale *= width / length
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, TEXT_COLOR, 1, cv2.LINE_AA)


def draw_points(image: ByteArray, points: FloatArray, color: tuple[int, int, int], radius: float = 1.5) -> ByteArray:
    """Return a copy of an image with a dot at each point.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
    points : (k, 2) float array, x and y; pixel centres lie at integers
    color : red, green, blue, in [0, 255]
    radius : radius of the dots, pixels
    """
    picture = check.rgb_image(image).copy()
    for x, y in np.asarray(points) * 16:  # fixed-point coordinates of OpenCV, 4 fractional bits
        cv2.circle(picture, (round(x), round(y)), max(1, round(radius * 16)), color, -1, cv2.LINE_AA, shift=4)
    return picture


def heat_picture(values: npt.ArrayLike, limit: float, background: ByteArray | None = None) -> ByteArray:
    """Return an error map in the colours of the "turbo" colour map.

    Parameters
    ----------
    values : (h, w) float array, errors
    limit : error drawn in the last colour, above 0; larger errors have the same colour
    background : (h, w, 3) uint8 array, shown darkened where `values` is NaN; None: black

    Returns
    -------
    (h, w, 3) uint8 array
    """
    values = np.asarray(values, dtype=np.float64)
    known: BoolArray = np.isfinite(values)
    level = (255 * np.clip(np.nan_to_num(values) / check.positive(limit, "limit"), 0, 1)).astype(np.uint8)
    colors = np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_TURBO))[..., ::-1]
    below = np.zeros_like(colors) if background is None else check.rgb_image(background) // 3
    return np.where(known[..., None], colors, below).astype(np.uint8)
