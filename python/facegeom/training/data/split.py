"""Split of the photos into training, validation and test sets by identity; all networks use the same split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import IntArray

TEST_PHOTOS = 543
VALIDATION_PHOTOS = 300
TEST_PORTRAITS = 200
VALIDATION_PORTRAITS = 200
CLOSED_EYES_VALIDATION = 0.1  # share of the photos with closed eyes; half of them are test photos

_PORTRAIT = re.compile(r"(sfhq|congress|generated|london)_(\d{4})")
_LONDON_PEOPLE = 102  # london_0102 to london_0152 show the people of london_0000 to london_0050 again, smiling
_SAME_PICTURE = {"sfhq_0218": "sfhq_0216"}


class Split(NamedTuple):
    """Rows of the photos of each set: training (a,), validation (b,), test (c,) int64 arrays in ascending order."""

    training: IntArray
    validation: IntArray
    test: IntArray


def identity(name: str) -> str:
    """Return the identity of a photo.

    Parameters
    ----------
    name : photo name: "Name/Name_0001.jpg", "Name_0001.jpg", or that of a portrait, such as "sfhq_0001.jpg"

    Returns
    -------
    str
        The folder, or what precedes the last underscore. A portrait is an identity of its own, except that two photos
        of one person in `london` share one, and that sfhq_0218 is nearly the same picture as sfhq_0216.

    Examples
    --------
    >>> identity("Ann_Lee/Ann_Lee_0002.jpg"), identity("sfhq_0007.jpg"), identity("london_0103.jpg")
    ('Ann_Lee', 'sfhq_0007', 'london_0001')
    """
    portrait = _portrait(name)
    if portrait is not None:
        source, number = portrait
        if source == "london":
            number %= _LONDON_PEOPLE
        person = f"{source}_{number:04d}"
        return _SAME_PICTURE.get(person, person)
    return name.rsplit("/", 1)[0] if "/" in name else name.rsplit("_", 1)[0]


@lru_cache(maxsize=1)
def closed_eyes() -> tuple[str, ...]:
    """Return the names, without suffix, of the portraits with both eyes closed. They were selected by eye."""
    return tuple(Path(__file__).with_name("closed_eyes.txt").read_text().split())


def split_names(names: Sequence[str]) -> Split:
    """Split photos by identity, so that no person is in two parts.

    Parameters
    ----------
    names : photo names, as `identity` takes them

    Returns
    -------
    Split

    Notes
    -----
    Photos that are not portraits: identities are sorted by the SHA-256 of their name; from the front the first 543
    photos, rounded up to a whole identity, are the test set, and the next 300, rounded up likewise, the validation set.

    Portraits: those with closed eyes are assigned first, also sorted by SHA-256: half of them to the test set, a tenth
    to the validation set, the others to the training set. Then portraits of each source are added to the test and the
    validation set, sorted by SHA-256, until both have 200 portraits in proportion to the sizes of the sources. `london`
    is for evaluation only and in none of the sets.

    Examples
    --------
    >>> [len(part) for part in split_names(["A_0001", "B_0001", "london_0001"])]
    [0, 0, 2]
    """
    rows: dict[str, list[int]] = {}
    portraits: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        portrait = _portrait(str(name))
        if portrait is None:
            rows.setdefault(identity(str(name)), []).append(row)
        elif portrait[0] != "london":
            portraits.setdefault(identity(str(name)), []).append(row)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for person in _hashed_order(rows):
        if len(parts[0]) < TEST_PHOTOS:
            parts[0].extend(rows[person])
        elif len(parts[1]) < VALIDATION_PHOTOS:
            parts[1].extend(rows[person])
        else:
            parts[2].extend(rows[person])
    for part, people in zip(parts, _split_portraits(portraits), strict=True):
        for person in people:
            part.extend(portraits[person])
    test, validation, training = (np.array(sorted(part), dtype=np.int64) for part in parts)
    return Split(training, validation, test)


def _split_portraits(people: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the people of the test, the validation and the training set."""
    order = _hashed_order(people)
    shut = [person for person in order if person in closed_eyes()]
    half, tenth = (len(shut) + 1) // 2, round(CLOSED_EYES_VALIDATION * len(shut))
    first = shut[:half], shut[half : half + tenth], shut[half + tenth :]
    test, validation, training = (list(part) for part in first)
    for source in sorted({_source(person) for person in order}):
        members = [person for person in order if _source(person) == source]
        share = len(members) / len(order)
        waiting = [person for person in members if person not in closed_eyes()]
        for part, size in ((test, TEST_PORTRAITS), (validation, VALIDATION_PORTRAITS)):
            have = sum(_source(person) == source for person in part)
            count = max(0, round(share * size) - have)
            part.extend(waiting[:count])
            waiting = waiting[count:]
        training.extend(waiting)
    return test, validation, training


def _portrait(name: str) -> tuple[str, int] | None:
    """Return source and number of a portrait's name; None for any other photo."""
    match = _PORTRAIT.fullmatch(name.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    return None if match is None else (match[1], int(match[2]))


def _source(person: str) -> str:
    return person.rsplit("_", 1)[0]


def _hashed_order(people: Iterable[str]) -> list[str]:
    return sorted(people, key=lambda person: hashlib.sha256(person.encode()).hexdigest())
