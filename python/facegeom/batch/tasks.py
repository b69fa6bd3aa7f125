"""What a worker does with a photo: reconstruct its faces, write their files, and describe them in rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegeom._internal.outputs import side_file
from facegeom._internal.stopwatch import stopwatch
from facegeom.batch.jobs import BatchStop, is_lack_of_memory
from facegeom.batch.rows import Row, face_row, photo_stamp
from facegeom.errors import BatchError, FacegeomError, NoFaceFound, WeightsError

if TYPE_CHECKING:
    from facegeom._internal.arrays import ByteArray
    from facegeom.images.image_files import ImageSource
    from facegeom.reconstruction import Reconstruction

TRIAL_SIDE = 64
"""Width and height in pixels of the black picture with which a worker loads the networks and tries the options."""


@dataclass(frozen=True)
class ReconstructTask:
    """Reconstruct one face or all faces of a photo.

    Attributes
    ----------
    options : arguments of `facegeom.reconstruct` by name; those that are None are left out
    all_faces : True: all faces, by `facegeom.reconstruct_all`; False: one face
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    all_faces: bool = False

    def prepare(self) -> None:
        """Load the networks and try the options.

        Raises
        ------
        WeightsError, FacegeomError, ValueError, TypeError
            If no photo can be reconstructed with these options.
        """
        from facegeom.reconstruction import reconstruct

        black = np.zeros((TRIAL_SIDE, TRIAL_SIDE, 3), np.uint8)
        box = np.array([0.25, 0.25, 0.75, 0.75]) * TRIAL_SIDE
        try:
            reconstruct(black, **{**self._given(), "box": box})
        except (np.linalg.LinAlgError, FacegeomError) as error:  # there is no face; that is no error of the options
            if isinstance(error, WeightsError) or type(error) is FacegeomError:
                raise

    def __call__(self, photo: ImageSource) -> tuple[Reconstruction, ...]:
        """Return the faces of a photo, at least one.

        Raises
        ------
        NoFaceFound
            If there is no face.
        """
        from facegeom import reconstruction

        if not self.all_faces:
            return (reconstruction.reconstruct(photo, **self._given()),)
        faces = tuple(reconstruction.reconstruct_all(photo, **self._given()))
        if not faces:
            raise NoFaceFound("no face was found in the photo")
        return faces

    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in self.options.items() if value is not None}


@dataclass(frozen=True)
class PhotoJob:
    """A photo and the files to write for it.

    Attributes
    ----------
    photo : path of the photo
    mesh : path of the mesh file; with all faces, `.face1`, `.face2`, ... are inserted before the suffix
    """

    photo: Path
    mesh: Path


@dataclass(frozen=True)
class SaveTask:
    """Reconstruct a photo, write the files of each face, and return one row for each face.

    Attributes
    ----------
    reconstruct : the task that reconstructs
    neutral : whether to write the mesh with the neutral expression
    preview : whether to write a preview beside each mesh
    keep : True: files that exist are not replaced
    """

    reconstruct: ReconstructTask
    neutral: bool = False
    preview: bool = False
    keep: bool = False

    def prepare(self) -> None:
        """Load the networks and try the options."""
        self.reconstruct.prepare()

    def __call__(self, job: PhotoJob) -> list[Row]:
        """Return the rows of a photo, after its files are written.

        Raises
        ------
        BatchStop
            If a file cannot be written: the disk is full, or a permission is missing.
        """
        from facegeom.images.image_files import read_photo
        from facegeom.images.limits import MAX_PIXELS

        stamp = photo_stamp(job.photo)
        loading: dict[str, float] = {}
        with stopwatch(loading, "loading"):
            photo = read_photo(job.photo, max_pixels=self.reconstruct.options.get("max_pixels") or MAX_PIXELS)
        faces = self.reconstruct(photo)
        rows: list[Row] = []
        for number, rec in enumerate(faces):
            mesh = face_file(job.mesh, number) if self.reconstruct.all_faces else job.mesh
            rec = replace(rec, photo=job.photo, timings={**rec.timings, **loading})
            with ending_the_batch():
                files = self._written(rec, photo.image, mesh)
            rows.append(
                {**face_row(rec, job.photo, number, len(faces), stamp), "output": os.path.abspath(mesh), "files": files}
            )
        return rows

    def _written(self, rec: Reconstruction, image: ByteArray, mesh: Path) -> dict[str, int]:
        """Write the files of a face; return the size of each in bytes."""
        from facegeom.images.image_files import save_image
        from facegeom.mesh.formats import mesh_files
        from facegeom.render import preview_sheet

        files = [path for path, _ in mesh_files(mesh, textured=rec.mesh.texture is not None)]
        if not (self.keep and any(map(os.path.lexists, files))):
            rec.save(mesh, neutral=self.neutral)
        if self.preview:
            preview = side_file(mesh, "preview.png")
            if not (self.keep and os.path.lexists(preview)):
                save_image(preview_sheet(rec, image), preview)
            files.append(preview)
        return {os.path.abspath(path): path.stat().st_size for path in files if path.exists()}


@contextmanager
def ending_the_batch() -> Iterator[None]:
    """Raise BatchStop for an OSError in the block, which writes files: the next photos could not be written either."""
    try:
        yield
    except OSError as error:
        if is_lack_of_memory(error):
            raise
        raise BatchStop(BatchError(str(error))) from error


def face_file(mesh: Path, number: int) -> Path:
    """Return the mesh file of face `number`, counted from 0, where all faces of a photo are written.

    Examples
    --------
    >>> face_file(Path("me.glb"), 0).name
    'me.face1.glb'
    """
    return mesh.with_name(f"{mesh.stem}.face{number + 1}{mesh.suffix}")
