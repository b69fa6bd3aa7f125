"""Split of the photos into training, validation and test sets by identity; all networks use the same split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import IntArray

TEST_PHOTOS = 543
VALIDATION_PHOTOS = 300


class Split(NamedTuple):
    """Rows of the photos of each set: training (a,), validation (b,), test (c,) int64 arrays in ascending order."""

    training: IntArray
    validation: IntArray
    test: IntArray


def identity(name: str) -> str:
    """Return the identity of a photo: the folder of `Name/Name_0001.jpg`, or the text before the last underscore."""
    return name.rsplit("/", 1)[0] if "/" in name else name.rsplit("_", 1)[0]


def split_names(names: Sequence[str]) -> Split:
    """Split photos by identity, so that no person is in two of the three sets.

    Identities are sorted by the SHA-256 hash of the name. The first 543 photos in this order are the test set, the next
    300 photos are the validation set; both numbers are rounded up so that no identity is divided.

    Parameters
    ----------
    names : photo names such as "Name/Name_0001.jpg" or "Name_0001"

    Returns
    -------
    Split

    Examples
    --------
    >>> [len(part) for part in split_names(["A_0001", "B_0001"])]
    [0, 0, 2]
    """
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(identity(str(name)), []).append(row)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for person in sorted(rows, key=lambda p: hashlib.sha256(p.encode()).hexdigest()):
        if len(parts[0]) < TEST_PHOTOS:
            parts[0].extend(rows[person])
        elif len(parts[1]) < VALIDATION_PHOTOS:
            parts[1].extend(rows[person])
        else:
            parts[2].extend(rows[person])
    test, validation, training = (np.array(sorted(part), dtype=np.int64) for part in parts)
    return Split(training, validation, test)
