"""Rows: what is recorded of a face, or of a photo that failed, as values that JSON can represent."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import facegeom
from facegeom.batch.jobs import Failure

if TYPE_CHECKING:
    from facegeom.reconstruction import Reconstruction

Row = dict[str, Any]
"""One face, or one photo that failed.

Always: "photo" (absolute path), "face" (number from 0; None after an error), "rows" (number of rows of the photo),
"stamp" (see `photo_stamp`), "versions", "error_class" and "error" (None without an error). Of a face also: "box", the
values of `Reconstruction.to_dict`, "output" (path of the mesh file) and "files" (file -> size in bytes).
"""


def face_row(rec: Reconstruction, photo: Path, number: int, count: int, stamp: list[int] | None) -> Row:
    """Return the row of face `number`, counted from 0, of the `count` faces of a photo."""
    pixels = rec.camera.project(rec.landmarks)
    return {
        "photo": os.path.abspath(photo),
        "face": number,
        "rows": count,
        "stamp": stamp,
        "error_class": None,
        "error": None,
        "box": [round(float(side), 2) for side in (*pixels.min(0), *pixels.max(0))],
        **rec.to_dict(),
        "versions": versions(),
    }


def failure_row(failure: Failure, photo: Path) -> Row:
    """Return the row of a photo that failed."""
    return {
        "photo": os.path.abspath(photo),
        "face": None,
        "rows": 1,
        "stamp": photo_stamp(photo),
        "error_class": failure.kind,
        "error": failure.message,
        "versions": versions(),
    }


def photo_stamp(photo: Path) -> list[int] | None:
    """Return size in bytes and time of the last change in nanoseconds, which tell whether a photo was changed."""
    try:
        found = os.stat(photo)
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns]


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the versions of facegeom, Python and the libraries that decide the results."""
    found = {"facegeom": facegeom.__version__, "python": platform.python_version()}
    for name in ("numpy", "torch", "opencv-python-headless"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
