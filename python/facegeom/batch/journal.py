"""The journal of a batch: rows in a file to which each finished photo is appended, so that the batch can be resumed.

The first line is the header with the options of the batch, every other line is a row as JSON. The rows of a photo
follow one another. A photo that is done again has its rows again, and the last ones count. A process that is killed may
leave the last photo incomplete: what is incomplete is cut off when the journal is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegeom.batch.rows import Row
from facegeom.errors import BatchError


@dataclass(frozen=True)
class Entry:
    """Where the rows of a photo are in the journal, and what decides whether the photo is done.

    Attributes
    ----------
    start, length : position and number of bytes of the rows
    failed : whether the photo failed
    stamp : see `facegeom.batch.rows.photo_stamp`
    outputs : mesh file of each face
    files : file -> size in bytes
    """

    start: int
    length: int
    failed: bool
    stamp: list[int] | None
    outputs: tuple[str, ...]
    files: dict[str, int]


class Journal:
    """The journal of a batch; also a context manager that closes the file.

    Parameters
    ----------
    path : the file; it is created if it does not exist
    header : options of the batch, for a new journal

    Raises
    ------
    OSError
        If the file cannot be read or written.
    BatchError
        If the file exists and is no journal.

    Attributes
    ----------
    header : options with which the journal was made
    entries : photo -> Entry, in the order in which photos were recorded first
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.header = header
        self.entries: dict[str, Entry] = {}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            self._size = self._read()
            if os.fstat(self._file).st_size != self._size:
                os.ftruncate(self._file, self._size)
            if not self._size:
                self._append(_line(header))
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def add(self, rows: list[Row]) -> None:
        """Append the rows of one photo.

        Raises
        ------
        BatchError
            If the file cannot be written; it keeps the photos before this one.
        """
        content = b"".join(map(_line, rows))
        start = self._size
        self._append(content)
        self._enter(rows, start, len(content))

    def rows(self, photos: Iterable[str]) -> Iterator[Row]:
        """Yield the rows of those of the given photos that are recorded."""
        for photo in photos:
            entry = self.entries.get(photo)
            if entry is not None:
                os.lseek(self._file, entry.start, os.SEEK_SET)
                content = b""
                while len(content) < entry.length:
                    content += os.read(self._file, entry.length - len(content))
                yield from map(json.loads, content.splitlines())

    def _enter(self, rows: list[Row], start: int, length: int) -> None:
        files: dict[str, int] = {}
        for row in rows:
            files |= row.get("files", {})
        outputs = tuple(row["output"] for row in rows if "output" in row)
        failed = rows[0]["error"] is not None
        self.entries[rows[0]["photo"]] = Entry(start, length, failed, rows[0]["stamp"], outputs, files)

    def _append(self, content: bytes) -> None:
        os.lseek(self._file, self._size, os.SEEK_SET)
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise BatchError(f"{error}: {str(self.path)!r}") from error
        self._size += len(content)

    def _read(self) -> int:
        """Read the header and the positions of all complete photos; return the position after the last one."""
        end = position = 0
        group: list[Row] = []
        start = 0
        with open(self.path, "rb") as stream:
            for line in stream:
                row = _parsed(line)
                if not position:
                    if row is None and not _is_torn_header(line):
                        raise BatchError(f"{self.path} exists and is not the journal of a batch: choose another table")
                    if row is None:
                        return 0
                    self.header, end = row, len(line)
                elif row is None or (not group and row["face"]):
                    group = []  # a damaged line, or the rest of a photo after one
                else:
                    if group and (row["photo"] != group[0]["photo"] or not row["face"]):
                        group = []  # a photo after an incomplete one
                    if not group:
                        start = position
                    group.append(row)
                    if len(group) == row["rows"]:
                        end = position + len(line)
                        self._enter(group, start, end - start)
                        group = []
                position += len(line)
        return end


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the header or row in a line, or None if the line is damaged."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and line.endswith(b"\n")
    return row if whole and ("options" in row or {"photo", "face", "rows", "stamp", "error"} <= set(row)) else None


def _is_torn_header(line: bytes) -> bool:
    """Return whether a line is the beginning of a header: the process was killed while it wrote the first line."""
    beginning = b'{"facegeom":'
    return not line.endswith(b"\n") and (line.startswith(beginning) or beginning.startswith(line))
