"""The manifest of an output folder: the options with which its files were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import facegeom
from facegeom._internal.files import write_bytes
from facegeom.errors import OutputError

RECORDS = ".facegeom"
"""Folder in the output folder for the manifest, the lock, and the journal of a batch without a table."""


def check_manifest(out: Path, options: dict[str, Any]) -> None:
    """Compare options with those of the earlier batches in a folder; write them down if there was none.

    Parameters
    ----------
    out : the output folder, with its folder of records
    options : name -> value that JSON can represent, of all options that change the outputs

    Raises
    ------
    OutputError
        If the folder was made with other options.
    OSError
        If the manifest cannot be read or written.
    """
    path = out / RECORDS / "manifest.json"
    try:
        earlier = json.loads(path.read_bytes())
        compare(earlier["options"], options, f"the folder {out}", f"another folder, or remove {out / RECORDS}")
    except FileNotFoundError:
        write_bytes(path, json.dumps(header(options), indent=2).encode())
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"the manifest {path} is damaged: remove it to start again") from error


def header(options: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a manifest, and of the first line of a journal."""
    return {"facegeom": facegeom.__version__, "options": options}


def compare(earlier: dict[str, Any], options: dict[str, Any], place: str, remedy: str) -> None:
    """Raise OutputError if options differ.

    Parameters
    ----------
    earlier, options : the options of the earlier batch and of this one
    place, remedy : what was made with the earlier options, and what to use instead of the same options, in words
    """
    names = [name for name in {**earlier, **options} if earlier.get(name) != options.get(name)]
    if names:
        text = ", ".join(f"{name} {_word(earlier.get(name))}, now {_word(options.get(name))}" for name in names)
        raise OutputError(f"{place} was made with other options ({text}): use the same options, or {remedy}")


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not given" if value is None else str(value)
