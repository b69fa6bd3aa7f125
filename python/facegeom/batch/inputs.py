"""The photos of a batch: files, folders, patterns, and lists of them in a file or on standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from facegeom._internal.outputs import is_side_file
from facegeom.errors import ImageError

PHOTO_SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
    }
    | {".ppm", ".tif", ".tiff", ".webp"}
)
"""Suffixes in lower case of the files that are taken from a folder."""


@dataclass(frozen=True)
class FoundPhoto:
    """A photo that was found.

    Attributes
    ----------
    path : path of the photo, as given or below the given folder
    place : its path relative to the given folder, or to the fixed folder of the pattern; for a given file its name
    """

    path: Path
    place: Path


def find_photos(inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Iterator[FoundPhoto]:
    """Yield the photos of files, folders and patterns, each photo once.

    Parameters
    ----------
    inputs : one or more of: a file, which need not exist; a folder, whose photos are taken with those of its
        subfolders in alphabetical order; a pattern with ``*``, ``?``, ``[...]`` or ``**`` (any number of folders).
        An input that exists is no pattern.

    Yields
    ------
    FoundPhoto

    Raises
    ------
    ImageError
        If a folder contains no photo, or no file matches a pattern.
    OSError
        If a folder cannot be read.

    Notes
    -----
    From a folder, files with the suffix of an image format are taken, except hidden ones and the previews and textures
    that facegeom wrote there. Links to folders are not followed.
    """
    seen: set[str] = set()
    for item in [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs:
        for found in _expanded(Path(item)):
            key = os.path.abspath(found.path)
            if key not in seen:
                seen.add(key)
                yield found


def is_pattern(path: Path) -> bool:
    """Return whether a path is a pattern and not the name of a file or folder that exists."""
    return glob.has_magic(str(path)) and not os.path.lexists(path)


def read_list(source: Path) -> list[Path]:
    """Return the paths in a list: one a line, or separated by zero bytes, as `find -print0` writes them.

    Parameters
    ----------
    source : the file of the list; `-` is standard input. Relative paths in it start at the working folder.

    Raises
    ------
    OSError
        If the list cannot be read.
    """
    content = sys.stdin.buffer.read() if str(source) == "-" else source.read_bytes()
    content = content.removeprefix(b"\xef\xbb\xbf")  # byte order mark of editors on Windows
    parts = content.split(b"\0") if b"\0" in content else content.replace(b"\r\n", b"\n").split(b"\n")
    return [Path(os.fsdecode(part)) for part in parts if part]


def _expanded(path: Path) -> Iterator[FoundPhoto]:
    if os.path.isdir(path):  # False for a name that no file can have
        files = _files_below(path)
        if not files:
            raise ImageError(f"the folder {path} contains no photos")
        for file in files:
            yield FoundPhoto(file, file.relative_to(path))
    elif is_pattern(path):
        root = _fixed_folder(path)
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        files = [match for match in matches if match.is_file() and not is_side_file(match)]
        if not files:
            raise ImageError(f"no file matches {path}")
        for file in files:
            yield FoundPhoto(file, file.relative_to(root))
    else:
        yield FoundPhoto(path, Path(path.name))


def _files_below(folder: Path) -> list[Path]:
    """Return the photos in a folder and its subfolders, without hidden ones."""

    def fail(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place, name)
            suffix = file.suffix.lower()
            if suffix in PHOTO_SUFFIXES and not name.startswith(".") and not is_side_file(file) and file.is_file():
                found.append(file)
    return found


def _fixed_folder(pattern: Path) -> Path:
    """Return the part of a pattern before its first wildcard."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed
