"""The files that a run will write for its photos, checked before the first one is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from facegeom._internal.outputs import Outputs, side_file
from facegeom.batch.inputs import FoundPhoto
from facegeom.batch.tasks import PhotoJob, face_file
from facegeom.errors import OutputError
from facegeom.mesh.formats import mesh_files


def is_folder(out: Path) -> bool:
    """Return whether an output is a folder: it is one, or its name has no suffix."""
    return not out.suffix or os.path.isdir(out)  # False for a name that is too long


def plan_jobs(photos: Sequence[FoundPhoto], out: Path, suffix: str) -> list[PhotoJob]:
    """Return each photo with the path of its mesh file.

    Parameters
    ----------
    photos : the photos
    out : for a single photo, the path of the mesh file; otherwise a folder, where each mesh has the name of its photo,
        in the same subfolder
    suffix : suffix of mesh files in a folder, such as ".glb"

    Raises
    ------
    ValueError
        If two photos would have the same mesh file.
    """
    if not is_folder(out):
        if len(photos) > 1:
            raise ValueError(f"{len(photos)} photos cannot be written to the single file {out}: give a folder")
        return [PhotoJob(photo.path, out) for photo in photos]
    jobs = [PhotoJob(photo.path, (out / photo.place).with_name(f"{photo.place.stem}{suffix}")) for photo in photos]
    taken: dict[Path, Path] = {}
    for job in jobs:
        first = taken.setdefault(job.mesh, job.photo)
        if first is not job.photo:
            raise ValueError(f"{first} and {job.photo} would both be written to {job.mesh}")
    return jobs


def planned_outputs(
    jobs: Sequence[PhotoJob],
    *,
    textured: bool,
    preview: bool,
    all_faces: bool,
    inputs: Iterable[Path] = (),
    records: Iterable[Path] = (),
) -> list[list[Path]]:
    """Check all files of a run; return those of each photo, with all faces those of its first face.

    Parameters
    ----------
    jobs : the photos and their mesh files
    textured, preview, all_faces : whether meshes have a texture, a preview is written, all faces have files
    inputs : files that are read in addition to the photos
    records : files that are written in addition to those of the photos

    Raises
    ------
    OutputError
        If a file would overwrite an input or another output, or cannot be written.
    """
    outputs = Outputs([*(job.photo for job in jobs), *inputs])
    planned: list[list[Path]] = []
    for job in jobs:
        mesh = face_file(job.mesh, 0) if all_faces else job.mesh
        files = mesh_files(mesh, textured=textured)
        if preview:
            files.append((side_file(mesh, "preview.png"), "the preview"))
        planned.append([outputs.add(path, f"{content} of {job.photo}") for path, content in files])
    for path in records:
        outputs.add(path, f"the file {path}")
    if all_faces:
        _check_other_faces(jobs)
    outputs.make_folders()
    return planned


def _check_other_faces(jobs: Sequence[PhotoJob]) -> None:
    """Raise OutputError if a photo has the name that a file of a second face of another photo may get."""
    meshes = {(os.path.realpath(job.mesh.parent), job.mesh.stem.casefold()): job for job in jobs}
    for job in jobs:
        match = re.fullmatch(r"(.*)\.face[0-9]+\..*", job.photo.name.casefold(), re.DOTALL)
        other = match and meshes.get((os.path.realpath(job.photo.parent), match[1]))
        if other:
            raise OutputError(f"a face of {other.photo} would overwrite the input {job.photo}: choose another output")
