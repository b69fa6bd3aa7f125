"""Atomic file writes: a file is written completely or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Call `write` with a temporary path in the same folder, then rename the temporary file to `path`.

    If `write` raises an exception, the temporary file is removed and `path` is not changed. The temporary file has the
    suffix of `path`, because many writers choose the format by the suffix.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist")
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        write(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


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
