"""The table of a batch: a Parquet file with one row for each face and each photo that failed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegeom._internal.files import write_atomically
from facegeom.batch.rows import Row
from facegeom.errors import FacegeomError
from facegeom.face_model.blendshapes import ARKIT_NAMES

if TYPE_CHECKING:
    import pyarrow

ROWS_AT_ONCE = 1000
"""Number of rows that are held in memory while the table is written."""


def check_table(path: Path) -> None:
    """Raise FacegeomError unless the library that writes tables is installed and the suffix is .parquet."""
    if path.suffix.lower() != ".parquet":
        raise FacegeomError(
            f"the table is written in the format Parquet: its name must end in .parquet, got {path.name}"
        )
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        raise FacegeomError("--table needs the extra batch: pip install 'facegeom[batch]'") from error


def write_table(rows: Iterable[Row], path: Path) -> None:
    """Write rows to a Parquet file.

    Parameters
    ----------
    rows : see `facegeom.batch.rows.Row`
    path : the file; it is written completely or not at all

    Raises
    ------
    OSError
        If the file cannot be written.

    Notes
    -----
    Columns: photo (text), face (number from 0; null after an error), box (4 pixels: the bounding box of the 68
    landmarks, which `box=` of `facegeom.reconstruct` takes), score, pose (yaw, pitch and roll in degrees), landmarks
    (68 x 3, mm), landmarks468 (468 x 3, mm), weights (of ARKit's blendshapes, by name), coefficients (of the identity,
    in standard deviations), camera (rotation, scale in pixels per mm, translation in pixels, and the matrix "opencv"),
    timings (milliseconds by step), versions, error_class and error (null without an error), mesh (text). Bytes of a
    path that are no text are written as `\\xff`.
    """
    import pyarrow
    import pyarrow.parquet

    schema = table_schema()

    def write(temporary: Path) -> None:
        with pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
            source = iter(rows)
            while batch := [_values(row) for row in itertools.islice(source, ROWS_AT_ONCE)]:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))

    write_atomically(path, write)


def table_schema() -> pyarrow.Schema:
    """Return names and types of the columns."""
    import pyarrow as pa

    number, text = pa.float64(), pa.string()
    points = pa.list_(pa.list_(number))
    return pa.schema(
        {
            "photo": text,
            "face": pa.int32(),
            "box": pa.list_(number),
            "score": number,
            "pose": pa.struct(dict.fromkeys(("yaw", "pitch", "roll"), number)),
            "landmarks": points,
            "landmarks468": points,
            "weights": pa.struct(dict.fromkeys(ARKIT_NAMES, number)),
            "coefficients": pa.list_(number),
            "camera": pa.struct(
                {"rotation": points, "scale": number, "translation": pa.list_(number), "opencv": points}
            ),
            "timings": pa.map_(text, number),
            "versions": pa.map_(text, text),
            "error_class": text,
            "error": text,
            "mesh": text,
        }
    )


def _values(row: Row) -> dict[str, Any]:
    """Return the values of a row by column."""
    found = {name: row.get(name) for name in ("face", "box", "score", "pose", "landmarks", "landmarks468")}
    camera = row.get("camera")
    if camera is not None:
        camera = {name: camera[name] for name in ("rotation", "scale", "translation", "opencv")}
    return found | {
        "photo": _text(row["photo"]),
        "weights": row.get("blendshapes"),
        "coefficients": row.get("identity"),
        "camera": camera,
        "timings": row.get("milliseconds"),
        "versions": row["versions"],
        "error_class": row["error_class"],
        "error": row["error"],
        "mesh": None if row.get("output") is None else _text(row["output"]),
    }


def _text(path: str) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")
