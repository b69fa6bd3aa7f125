"""The record of a batch in its output folder: what is done, with which options, and that nobody else writes there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from facegeom._internal.files import remove_stale
from facegeom._internal.lock import locked
from facegeom.batch import manifest
from facegeom.batch.journal import Entry, Journal
from facegeom.batch.rows import Row, photo_stamp
from facegeom.batch.table import write_table
from facegeom.batch.tasks import PhotoJob, face_file


class Record:
    """The record of a batch, locked while it is open as a context manager.

    Parameters
    ----------
    options : name -> value that JSON can represent, of all options that change the outputs
    out : the output folder; None: the output is one file, and only the table has a record
    table : the Parquet file to write at the end; rows are collected in the journal `TABLE.jsonl`. None: no table; the
        journal is in the output folder.

    Raises
    ------
    OutputError
        On entry, if another run uses the folder or the table, or if they were made with other options.
    BatchError, OSError
        If a file of the record cannot be read or written.
    """

    def __init__(self, options: dict[str, Any], out: Path | None, table: Path | None = None) -> None:
        self._options = options
        self._out = out
        self._table = table
        self._stack = ExitStack()
        self._changed = False

    def __enter__(self) -> Record:
        with ExitStack() as stack:
            if self._out is not None:
                records = self._out / manifest.RECORDS
                records.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(records / "lock", f"the folder {self._out}"))
                manifest.check_manifest(self._out, self._options)
                path = records / "journal.jsonl"
            if self._table is not None:
                self._table.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(beside(self._table, ".lock"), f"the table {self._table}"))
                path = beside(self._table, ".jsonl")
            self._journal = stack.enter_context(Journal(path, manifest.header(self._options)))
            remedy = f"another table, or remove {path}" if self._table else f"remove {path}"
            manifest.compare(self._journal.header["options"], self._options, f"the record {path}", remedy)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def is_done(self, job: PhotoJob, *, all_faces: bool, retry_failed: bool) -> bool:
        """Return whether a photo is recorded, is unchanged since then, and has all its output files.

        Parameters
        ----------
        job : the photo and its mesh file
        all_faces : whether all faces of the photo have files
        retry_failed : whether a photo that failed is not done
        """
        entry = self._journal.entries.get(os.path.abspath(job.photo))
        if entry is None or entry.stamp != photo_stamp(job.photo):
            return False
        return not retry_failed if entry.failed else _is_complete(entry, job, all_faces)

    def add(self, rows: list[Row]) -> None:
        """Record the rows of a photo that is finished."""
        self._journal.add(rows)
        self._changed = True

    def rows(self, photos: Iterable[Path]) -> Iterable[Row]:
        """Yield the recorded rows of photos."""
        return self._journal.rows(map(os.path.abspath, photos))

    def has_failed(self, photo: Path) -> bool:
        """Return whether a photo is recorded with an error."""
        entry = self._journal.entries.get(os.path.abspath(photo))
        return entry is not None and entry.failed

    def write_table(self, photos: Sequence[Path]) -> None:
        """Write the table, if it is asked for and not up to date: first these photos, then all others of the journal.

        Raises
        ------
        OSError
            If the table cannot be written.
        """
        if self._table is not None and (self._changed or _is_older(self._table, self._journal.path)):
            names = [*map(os.path.abspath, photos), *self._journal.entries]
            write_table(self._journal.rows(dict.fromkeys(names)), self._table)


def beside(table: Path, ending: str) -> Path:
    """Return the path of a file that belongs to a table, such as `out.parquet.jsonl`."""
    return table.with_name(table.name + ending)


def sweep(jobs: Iterable[PhotoJob]) -> None:
    """Remove the temporary files of processes that have ended from the folders of the outputs."""
    for folder in dict.fromkeys(job.mesh.parent for job in jobs):
        remove_stale(folder)


def _is_older(table: Path, journal: Path) -> bool:
    """Return whether a table is missing or was written before the last row of its journal."""
    try:
        return table.stat().st_mtime_ns < journal.stat().st_mtime_ns
    except FileNotFoundError:
        return True


def _is_complete(entry: Entry, job: PhotoJob, all_faces: bool) -> bool:
    """Return whether the recorded files are those of a job and exist with the recorded size."""
    mesh = Path(os.path.abspath(job.mesh))
    planned = [face_file(mesh, number) for number in range(len(entry.outputs))] if all_faces else [mesh]
    if list(entry.outputs) != list(map(str, planned)):
        return False
    try:
        return all(os.stat(path).st_size == size for path, size in entry.files.items())
    except OSError:
        return False
