"""Many photos, one after the other: one that fails is reported and the rest go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facegeom.errors import FacegeomError, WeightsError
from facegeom.pipelines import DEFAULT_PIPELINE
from facegeom.reconstruction import Reconstruction, reconstruct


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: a reconstruction, or the reason why there is none."""

    photo: Path
    reconstruction: Reconstruction | None
    error: str | None


def reconstruct_all(
    photos: Sequence[Path],
    *,
    pipeline: str = DEFAULT_PIPELINE,
    device: str = "cpu",
    head: bool = False,
    texture: int | None = None,
) -> Iterator[Outcome]:
    """Yield the outcome of each photo, in order.

    Raises
    ------
    WeightsError
        When the networks cannot be loaded: no photo could succeed then.
    """
    for photo in photos:
        try:
            rec = reconstruct(photo, pipeline=pipeline, device=device, head=head, texture=texture)
        except WeightsError:
            raise
        except (FacegeomError, OSError, ValueError) as error:
            yield Outcome(photo, None, str(error))
        else:
            yield Outcome(photo, rec, None)


def output_paths(photos: Sequence[Path], out: Path, suffix: str) -> list[Path]:
    """Return the file that each photo's mesh goes to.

    Parameters
    ----------
    photos : the photos
    out : a file with a suffix, for a single photo; else a folder, in which each mesh is named after its photo
    suffix : of the files in a folder, such as ".glb"

    Raises
    ------
    ValueError
        When two photos would be written to one file, or several to a file.
    """
    if out.suffix and not out.is_dir():
        if len(photos) > 1:
            raise ValueError(f"{len(photos)} photos cannot be written to the one file {out}: name a folder")
        return [out]
    paths = [out / f"{photo.stem}{suffix}" for photo in photos]
    taken: dict[Path, Path] = {}
    for photo, path in zip(photos, paths, strict=True):
        if path in taken:
            raise ValueError(f"{taken[path]} and {photo} would both be written to {path}")
        taken[path] = photo
    return paths
