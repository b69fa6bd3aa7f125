"""The work of `facegeom reconstruct`: plan the files, do the photos that are not done yet, and report them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from facegeom.batch.engines import reply_stream
from facegeom.batch.inputs import FoundPhoto, find_photos, is_pattern, read_list
from facegeom.batch.jobs import Reply, attempt
from facegeom.batch.plan import is_folder, plan_jobs, planned_outputs
from facegeom.batch.record import Record, beside, sweep
from facegeom.batch.rows import Row, failure_row
from facegeom.batch.table import check_table
from facegeom.batch.tasks import PhotoJob, ReconstructTask, SaveTask
from facegeom.errors import BatchError
from facegeom.mesh.formats import SAVE_SUFFIXES
from facegeom.networks.backends import check_backend
from facegeom.pipelines import DENOISE

OPTIONS = (
    "pipeline",
    "device",
    "head",
    "texture",
    "detector",
    "backend",
    "max_pixels",
    "expression",
    "eyewear",
    "albedo",
    "hair",
    "denoise",
)
"""Arguments of the command that are arguments of `facegeom.reconstruct` and of `facegeom.reconstruct_all`."""

ONE_FACE = ("face_index", "box")
"""Arguments of the command that are arguments of `facegeom.reconstruct` only."""

RECORDED = (*OPTIONS, *ONE_FACE, "neutral", "format", "preview", "all_faces")
"""Arguments of the command that change its outputs; a batch cannot be resumed with others."""

INTERNAL = ("rows", "stamp", "files", "versions")
"""Values of a row that `--json` does not print."""

Say = Callable[[str], None]


class UsageError(Exception):
    """The arguments of the command contradict each other."""


def reconstruct_photos(args: argparse.Namespace, say: Say, complain: Say) -> bool:
    """Run the command.

    Parameters
    ----------
    args : the parsed arguments
    say, complain : functions that print a line to the standard output and to the standard error

    Returns
    -------
    bool
        Whether all photos are reconstructed.

    Raises
    ------
    UsageError
        If the arguments contradict each other.
    FacegeomError, OSError, ValueError
        If no photo can be reconstructed, or the batch cannot go on.
    """
    if args.all_faces and (args.face_index or args.box):
        raise UsageError("--all-faces writes every face: omit --face and --box")
    if args.box and args.face_index:
        raise UsageError("--box already selects a face: omit --face")
    check_backend(args.backend, args.device)  # else each photo would fail for the same reason
    photos, is_batch = _photos(args)
    jobs = _jobs(args, photos)
    if args.table is not None:
        check_table(args.table)
    planned = planned_outputs(
        jobs, textured=args.texture is not None, preview=args.preview, all_faces=args.all_faces,
        inputs=[args.from_file] if args.from_file and str(args.from_file) != "-" else [],
        records=[] if args.table is None else [args.table, beside(args.table, ".jsonl"), beside(args.table, ".lock")],
    )  # fmt: skip
    if args.no_clobber and not args.all_faces and args.table is None:
        existing = {job for job, files in zip(jobs, planned, strict=True) if _nothing_to_write(files, args.preview)}
    else:
        existing = set()
    run = _Run(args, jobs, existing, say, complain)
    if not is_batch and args.table is None:
        return run.without_record()
    options = {name: getattr(args, name) for name in RECORDED}
    with Record(options, args.out if is_folder(args.out) else None, args.table) as record:
        try:
            return run.recorded(record)
        except BatchError as error:
            raise BatchError(f"{error}; start the same command again to continue") from error
        finally:
            sweep(jobs)


def _photos(args: argparse.Namespace) -> tuple[list[FoundPhoto], bool]:
    """Return the photos, and whether they are a batch: more than the name of one file was given."""
    inputs = [*args.photos, *([] if args.from_file is None else read_list(args.from_file))]
    if not inputs:
        raise UsageError("no photo was given" if args.from_file is None else f"the list {args.from_file} is empty")
    photos = list(find_photos(inputs))
    single = len(inputs) == 1 and args.from_file is None and not os.path.isdir(inputs[0]) and not is_pattern(inputs[0])
    return photos, not single


def _jobs(args: argparse.Namespace, photos: Sequence[FoundPhoto]) -> list[PhotoJob]:
    try:
        jobs = plan_jobs(photos, args.out, "." + args.format)
    except ValueError as error:
        raise UsageError(str(error)) from error
    suffix = jobs[0].mesh.suffix.lower()
    if suffix not in SAVE_SUFFIXES:
        raise UsageError(f"cannot write {jobs[0].mesh.name!r}: the suffix must be one of {', '.join(SAVE_SUFFIXES)}")
    return jobs


def _nothing_to_write(files: Sequence[Path], preview: bool) -> bool:
    """Return whether nothing is left to write if existing files are kept: no mesh, and no preview."""
    mesh = files[:-1] if preview else files
    return any(map(os.path.lexists, mesh)) and (not preview or os.path.lexists(files[-1]))


class _Run:
    """One run of the command."""

    def __init__(
        self, args: argparse.Namespace, jobs: list[PhotoJob], existing: set[PhotoJob], say: Say, complain: Say
    ) -> None:
        self._args, self._jobs, self._existing = args, jobs, existing
        self._say, self._complain = say, complain
        names = OPTIONS if args.all_faces else (*OPTIONS, *ONE_FACE)
        options = {name: getattr(args, name) for name in names} | {"denoise": DENOISE[args.denoise]}
        task = ReconstructTask(options, args.all_faces)
        self._task = SaveTask(task, args.neutral, args.preview, args.no_clobber)

    def without_record(self) -> bool:
        """Reconstruct a single photo in this process."""
        (job,) = self._jobs
        rows: list[Row] = []
        if job not in self._existing:
            reply = attempt(self._task, job)
            if reply.fatal is not None:
                raise reply.fatal
            rows = self._rows(job, reply)
        self._tell(job, rows)
        if self._args.json:
            self._print_json([rows])
        return not rows or rows[0]["error"] is None

    def recorded(self, record: Record) -> bool:
        """Do the photos of a batch that are not done, record each, and write the table."""
        from tqdm import tqdm

        jobs, existing, args = self._jobs, self._existing, self._args
        pending = [
            job for job in jobs
            if job not in existing
            and not record.is_done(job, all_faces=args.all_faces, retry_failed=args.retry_failed)
        ]  # fmt: skip
        waiting = set(pending)
        earlier = [job for job in jobs if job not in waiting and job not in existing]
        for job in [job for job in jobs if job in existing]:
            self._tell(job, [])
        failed = 0
        with (
            tqdm(total=len(jobs), initial=len(jobs) - len(pending), unit="photo", disable=None) as bar,
            closing(self._replies(pending)) as replies,
        ):
            for job, reply in replies:
                rows = self._rows(job, reply)
                record.add(rows)
                failed += rows[0]["error"] is not None
                with bar.external_write_mode(file=sys.stderr):
                    self._tell(job, rows)
                bar.update()
        record.write_table([job.photo for job in jobs])
        failed_earlier = sum(record.has_failed(job.photo) for job in earlier)
        if failed_earlier:
            self._complain(f"{_photos_in_words(failed_earlier)} failed in an earlier run: --retry-failed tries again")
        if args.json:
            self._print_json([[] if job in existing else list(record.rows([job.photo])) for job in jobs])
        else:
            done = f"{_photos_in_words(len(pending) - failed)} reconstructed, {failed} failed"
            self._say(f"{done}, {len(earlier)} done by an earlier run" if earlier else done)
        return not failed and not failed_earlier

    def _replies(self, pending: Sequence[PhotoJob]) -> Generator[tuple[PhotoJob, Reply], None, None]:
        """Yield each photo with the reply of a worker, as they come."""
        args = self._args
        alone = len(pending) == 1 and args.workers is None and args.timeout is None and args.engine == "local"
        jobs = [PhotoJob(Path(os.path.abspath(job.photo)), Path(os.path.abspath(job.mesh))) for job in pending]
        replies = reply_stream(
            jobs, self._task, engine=args.engine, address=args.address, workers=0 if alone else args.workers,
            timeout=args.timeout,
        )  # fmt: skip
        with closing(replies):
            for number, _, reply in replies:
                yield pending[number], reply

    def _rows(self, job: PhotoJob, reply: Reply) -> list[Row]:
        return [failure_row(reply.failure, job.photo)] if reply.failure is not None else reply.result

    def _tell(self, job: PhotoJob, rows: Sequence[Row]) -> None:
        """Print one line for each face, for the error, or for files that are kept (no rows)."""
        if rows and rows[0]["error"] is not None:
            error = rows[0]["error"]
            self._complain(error if str(job.photo) in error else f"{job.photo}: {error}")
        elif not self._args.json:
            for row in rows:
                self._say(f"{self._mesh(job, row)}: {row['vertices']} vertices, {row['faces']} faces")
            if not rows:
                self._say(f"{job.mesh}: exists")

    def _mesh(self, job: PhotoJob, row: Row) -> Path:
        """Return the mesh file of a row, as the arguments name it."""
        return job.mesh.with_name(Path(row["output"]).name)

    def _print_json(self, rows_of_jobs: Sequence[Sequence[Row]]) -> None:
        entries: list[dict[str, Any]] = []
        for job, rows in zip(self._jobs, rows_of_jobs, strict=True):
            if not rows:
                entries.append({"photo": str(job.photo), "output": str(job.mesh), "error": None, "skipped": True})
            for row in rows:
                output = None if row["error"] is not None else str(self._mesh(job, row))
                entry = {"photo": str(job.photo), "output": output, "error": row["error"]}
                entries.append(entry | {name: value for name, value in row.items() if name not in (*entry, *INTERNAL)})
        print(json.dumps({"photos": entries}, indent=2))


def _photos_in_words(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
