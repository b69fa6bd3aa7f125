"""Locks: two runs never write to the same folder or table at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facegeom.errors import OutputError


@contextmanager
def locked(path: Path, place: str) -> Iterator[None]:
    """Hold a lock inside the block; the operating system releases it when the process ends, however it ends.

    Parameters
    ----------
    path : file of the lock; it stays, because the removal of a lock file is not safe
    place : what is locked, in words

    Raises
    ------
    OutputError
        If another process holds the lock, or the file system has no locks.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(f"another run is writing to {place}: wait until it has ended") from None
    except NotImplementedError as error:
        raise OutputError(f"{place} cannot be locked: its file system has no locks") from error
    try:
        yield
    finally:
        lock.release()
