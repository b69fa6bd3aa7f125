"""Atomic file writes: a file is written completely or not at all."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
import uuid
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

LONGEST_SUFFIX = 16
"""Maximum length of a suffix in bytes that a temporary name takes over, so that the name stays short."""

STALE_SECONDS = 7 * 24 * 3600.0
"""Age from which a temporary file is stale if its process cannot be looked up: it runs on another machine."""

_TEMPORARY = re.compile(r"\.facegeom-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}\.tmp.*", re.DOTALL)
_swept: set[tuple[int, str]] = set()  # (process id, folder) of the folders from which stale files were removed


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Call `write` with a temporary path in the same folder, then rename the temporary file to `path`.

    If `write` raises an exception, the temporary file is removed and `path` is not changed. The temporary file has the
    suffix of `path`, because many writers choose the format by the suffix.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    OSError
        If the file cannot be written; the error names `path` and not the temporary file.

    Notes
    -----
    The name of a temporary file contains the machine and the process id. The first write of a process into a folder
    removes the temporary files there whose process no longer runs: a process that is killed cannot remove its own.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist")
    swept = (os.getpid(), os.path.abspath(target.parent))
    if swept not in _swept:
        _swept.add(swept)
        remove_stale(target.parent)
    temporary = target.with_name(_temporary_name(target.suffix))
    try:
        write(temporary)
        os.replace(temporary, target)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
    finally:
        with contextlib.suppress(OSError):  # an exception of `write` says more
            temporary.unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Remove the temporary files of processes that have ended from `folder`; files of other programs are kept."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            if found is None:
                continue
            with contextlib.suppress(OSError):  # another process removed the file, or it belongs to another user
                here = found[1] == _machine() and os.name == "posix"
                if _has_ended(int(found[2])) if here else time.time() - entry.stat().st_mtime > STALE_SECONDS:
                    os.unlink(entry)


def _temporary_name(suffix: str) -> str:
    suffix = suffix if len(os.fsencode(suffix)) <= LONGEST_SUFFIX else ""
    return f".facegeom-{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp{suffix}"


@lru_cache(maxsize=1)
def _machine() -> str:
    """Return eight hexadecimal digits that identify the machine, or the container: process ids are unique in it."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{zlib.crc32(f'{platform.node()} {namespace}'.encode(errors='surrogateescape')):08x}"


def _has_ended(process: int) -> bool:
    """Return whether no process of this machine has the id `process`."""
    try:
        os.kill(process, 0)  # signal 0 only checks
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to a file atomically; see `write_atomically`."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, Any], *, compressed: bool = True) -> None:
    """Write named arrays to one .npz file; if an error occurs, no file remains."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as stream:
            if compressed:
                np.savez_compressed(stream, **arrays)
            else:
                np.savez(stream, **arrays)

    write_atomically(path, write)
