"""Numbers in text files, parsed with little memory."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.quiet import quiet
from facegeom.errors import FacegeomError

PIECE = 4 * 2**20
"""Number of bytes of a text file that are parsed at once."""


def numbers(text: bytes, name: str, count: int) -> FloatArray:
    """Return the `count` numbers in a text, which are separated by white space; `name` is that of the file in messages.

    Raises
    ------
    FacegeomError
        If something is no number, or there are more or fewer.
    """
    return np.asarray(_parsed(text, np.dtype(np.float64), name, count))


def integers(text: bytes, name: str, count: int) -> IntArray:
    """Return the `count` integers in a text; like `numbers`."""
    return np.asarray(_parsed(text, np.dtype(np.int64), name, count))


def _parsed(text: bytes, kind: np.dtype[Any], name: str, count: int) -> npt.NDArray[Any]:
    text = text.strip()
    found = np.empty(0, kind)
    if text:
        with quiet(), contextlib.suppress(ValueError):  # older releases of NumPy only warn about text that is no number
            found = np.fromstring(text, dtype=kind, sep=" ")
    if len(found) != count:
        raise FacegeomError(f"{name} is damaged: something is no number, or a number is missing")
    return found


def count_words(text: bytes) -> int:
    """Return the number of words in a text, which are separated by white space."""
    count, inside = 0, False
    for place in range(0, len(text), PIECE):
        letters = np.frombuffer(text, np.uint8, min(PIECE, len(text) - place), place) > ord(" ")
        count += int(np.count_nonzero(letters[1:] & ~letters[:-1])) + int(letters[0] and not inside)
        inside = bool(letters[-1])
    return count
