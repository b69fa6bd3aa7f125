"""What the benchmarks hand out: tables, JSON files and pictures."""

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

GAP = 2  # pixels between the tiles of a sheet
CAPTION = 15  # pixels of the line above a tile
INK, PAPER = (235, 235, 235), 24


def table(header: Sequence[str], rows: Sequence[Sequence[str | float | int]], digits: int = 2) -> str:
    """Return a plain-text table, the first column to the left and the rest to the right.

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
    """Write a benchmark's answer to the standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_json(path: str | Path, results: Any) -> None:
    """Write results to a JSON file, whole or not at all; NaN becomes null, dataclasses and arrays become plain."""
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
    """Return `path` as a folder, made where it is not there yet."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fit_tile(image: ByteArray, size: int) -> ByteArray:
    """Return a picture scaled to fit a (size, size) tile, centred on black."""
    image = check.rgb_image(image)
    height, width = image.shape[:2]
    factor = size / max(height, width)
    wanted = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = cv2.resize(image, wanted, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    tile = np.zeros((size, size, 3), np.uint8)
    top, left = (size - wanted[1]) // 2, (size - wanted[0]) // 2
    tile[top : top + wanted[1], left : left + wanted[0]] = scaled
    return tile


def sheet(tiles: Sequence[ByteArray], columns: int, size: int, captions: Sequence[str] | None = None) -> ByteArray:
    """Return the tiles in rows of `columns`, each (size, size), under a line of caption where captions are given."""
    columns = check.count(columns, "columns", 1)
    head = CAPTION if captions is not None else 0
    rows = -(-len(tiles) // columns)
    step_x, step_y = size + GAP, size + head + GAP
    page = np.full((rows * step_y + GAP, columns * step_x + GAP, 3), PAPER, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = GAP + row * step_y, GAP + column * step_x
        if captions is not None:
            write_text(page, captions[number], (left + 1, top + CAPTION - 4), width=size)
        page[top + head : top + head + size, left : left + size] = fit_tile(tile, size)
    return page


def write_text(image: ByteArray, text: str, place: tuple[int, int], width: int | None = None) -> None:
    """Write a line of small text into `image` itself, shrunk to `width` pixels where it is longer."""
    scale = 0.38
    length = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]
    if width is not None and length > width:
        scale *= width / length
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)


def draw_points(image: ByteArray, points: FloatArray, color: tuple[int, int, int], radius: float = 1.5) -> ByteArray:
    """Return a copy of the picture with a dot on each of (k, 2) points (pixel centres at integers)."""
    picture = check.rgb_image(image).copy()
    for x, y in np.asarray(points) * 16:  # OpenCV's fixed point with 4 fractional bits
        cv2.circle(picture, (round(x), round(y)), max(1, round(radius * 16)), color, -1, cv2.LINE_AA, shift=4)
    return picture


def depth_picture(depth: FloatArray, low: float | None = None, high: float | None = None) -> ByteArray:
    """Return a depth map as gray, the nearest white; black where it is NaN."""
    values = np.asarray(depth, dtype=np.float64)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros((*values.shape, 3), np.uint8)
    low = float(values[known].min()) if low is None else low
    high = float(values[known].max()) if high is None else high
    share = (np.clip(values, low, high) - low) / max(high - low, 1e-9)
    gray = np.where(known, 40 + 215 * np.nan_to_num(share), 0).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def correspondence_picture(correspondence: FloatArray) -> ByteArray:
    """Return a correspondence map (h, w, 3), mm, as red, green and blue; black where it is NaN.

    Notes
    -----
    x from -80 to 80 mm, y from -110 to 70 mm and z from -70 to 40 mm fill the range, which holds the face.
    """
    low, high = np.array([-80.0, -110.0, -70.0]), np.array([80.0, 70.0, 40.0])
    share = np.clip((np.asarray(correspondence) - low) / (high - low), 0, 1)
    return np.where(np.isfinite(share), 255 * np.nan_to_num(share), 0).astype(np.uint8)


def heat_picture(values: npt.ArrayLike, limit: float, background: ByteArray | None = None) -> ByteArray:
    """Return errors (h, w) from 0 to `limit` as colours, over a darkened background where they are NaN."""
    values = np.asarray(values, dtype=np.float64)
    known: BoolArray = np.isfinite(values)
    level = (255 * np.clip(np.nan_to_num(values) / check.positive(limit, "limit"), 0, 1)).astype(np.uint8)
    colors = np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_TURBO))[..., ::-1]
    below = np.zeros_like(colors) if background is None else check.rgb_image(background) // 3
    return np.where(known[..., None], colors, below).astype(np.uint8)
