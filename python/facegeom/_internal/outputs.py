"""The output files of a run, planned and checked before the first one is written.

A command makes one `Outputs` with all files that it reads, adds every file that it will write, and only then starts to
work:

>>> outputs = Outputs(inputs=["photos/me.png"])
>>> mesh = outputs.add("photos/me.glb", "the mesh of photos/me.png")
>>> preview = outputs.add(side_file(mesh, "preview.png"), "the preview of photos/me.png")
>>> preview.name
'me.preview.png'
>>> outputs.make_folders()  # doctest: +SKIP

`add` raises `OutputError` if the file would overwrite an input or another planned file, or cannot be written there. The
command line prints this error as one line and exits with code 2, so commands do not catch it. A file that exists and is
no input may be replaced: whether it is kept instead (`--no-clobber`) is decided by the caller.

A run on a folder must leave out the side files of earlier runs when it lists the photos of that folder; see
`is_side_file`.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from facegeom.errors import OutputError

SIDE_SUFFIXES = ("preview.png", "texture.png")
"""Endings of the pictures that are written beside a mesh file; see `side_file`."""

LONGEST_NAME = 255
"""Maximum length of a file name in bytes, on all file systems in common use."""


class Outputs:
    """The files that a run will write, checked against its inputs and against each other.

    Two paths are the same file if the file system says so (symbolic and hard links), or if they are equal after links
    are resolved and letter case is removed: on some file systems, and after a copy to one of them, `Me.png` and
    `me.png` are one file.

    Parameters
    ----------
    inputs : files that the run reads; none of them may be written
    folders : folder -> suffixes in lower case of the files that the run reads there and in subfolders; a file with
        such a suffix that exists in the folder may not be written
    """

    def __init__(
        self, inputs: Iterable[str | os.PathLike[str]] = (), folders: Mapping[Path, Collection[str]] | None = None
    ) -> None:
        self._folders: dict[str, str] = {}  # folder as given -> comparable name of the resolved folder
        self._inputs: dict[object, Path] = {}
        self._planned: dict[str, tuple[Path, str]] = {}
        self._writable: set[Path] = set()
        self._read = [(_without_case(os.path.realpath(path)), path, kinds) for path, kinds in (folders or {}).items()]
        for source in inputs:
            path = Path(source)
            for key in (self._key(path), self._key(Path(os.path.realpath(path))), _identity(path)):
                if key is not None:
                    self._inputs.setdefault(key, path)

    def __iter__(self) -> Iterator[Path]:
        """Yield the planned files in the order in which they were added."""
        return (path for path, _ in self._planned.values())

    def __contains__(self, path: str | os.PathLike[str]) -> bool:
        """Return whether a file is among the planned ones."""
        return self._key(Path(path)) in self._planned

    def add(self, path: str | os.PathLike[str], content: str) -> Path:
        """Plan to write a file; return its path.

        Parameters
        ----------
        path : the file
        content : what the file will contain, for messages, such as "the mesh of me.jpg"

        Raises
        ------
        OutputError
            If the file is an input or planned already, if something that is not a file has its name, if the name is
            too long, or if the file or its folder may not be written.
        """
        target = Path(path)
        if len(os.fsencode(target.name)) > LONGEST_NAME:
            raise OutputError(
                f"the name of {content} has {len(os.fsencode(target.name))} bytes, but file systems allow "
                f"{LONGEST_NAME}: {target.name}"
            )
        key = self._key(target)
        other = self._inputs.get(key) or self._inputs.get(_identity(target))
        if other is not None:
            raise OutputError(f"{content} would overwrite the input {other}: choose another output")
        for resolved, folder, suffixes in self._read:
            if target.suffix.lower() in suffixes and key.startswith(resolved + "/") and target.exists():
                raise OutputError(f"{content} would overwrite {target} in the input folder {folder}")
        if key in self._planned:
            there, first = self._planned[key]
            raise OutputError(f"{first} and {content} would both be written to {there}")
        if target.parent not in self._writable:
            _check_folder(target.parent, content)
            self._writable.add(target.parent)
        _check_replaceable(target, content)
        self._planned[key] = (target, content)
        return target

    def make_folders(self) -> None:
        """Create the folders of all planned files."""
        for folder in dict.fromkeys(path.parent for path in self):
            folder.mkdir(parents=True, exist_ok=True)

    def _key(self, path: Path) -> str:
        """Return a name that is equal for two paths if they differ only in links of their folders or letter case."""
        parent = str(path.parent)
        folder = self._folders.get(parent)
        if folder is None:
            folder = self._folders[parent] = _without_case(os.path.realpath(parent))
        return f"{folder}/{_without_case(path.name)}"


def side_file(path: Path, ending: str) -> Path:
    """Return the path of a picture that is written beside a mesh file, such as `me.preview.png` beside `me.glb`.

    Parameters
    ----------
    path : the mesh file
    ending : one of `SIDE_SUFFIXES`
    """
    return path.with_name(f"{path.stem}.{ending}")


def is_side_file(path: Path) -> bool:
    """Return whether a name ends like that of a preview or a texture which facegeom writes beside a mesh."""
    return path.name.endswith(tuple(f".{ending}" for ending in SIDE_SUFFIXES))


def printable(text: str) -> str:
    """Return text on one line that any terminal can print: control characters and undecodable bytes are escaped.

    Examples
    --------
    >>> print(printable("two\\nlines, one byte \\udcff"))
    two\\nlines, one byte \\udcff
    """
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter for letter in text
    )


def _without_case(name: str) -> str:
    """Return a name in the form in which case-insensitive file systems compare names."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of an existing file, which links to it share; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


def _check_folder(folder: Path, content: str) -> None:
    """Raise OutputError unless files can be created in `folder`, or in the folder where `folder` will be created."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{content} cannot be written: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{content} cannot be written: the folder {folder} is read-only")


def _check_replaceable(path: Path, content: str) -> None:
    """Raise OutputError if something exists at `path` that must not be replaced by a file."""
    try:
        found = os.stat(path)
    except OSError:  # nothing there, or a link to nothing
        return
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{content} cannot be written: {path} is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise OutputError(f"{content} cannot be written: {path} exists and is not a regular file")
    if not os.access(path, os.W_OK):
        raise OutputError(f"{content} cannot be written: the file {path} is read-only")
