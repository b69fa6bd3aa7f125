"""Reconstruct many photos one after the other; a photo that fails is reported, and the others are still processed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facegeom._internal.arrays import ByteArray
from facegeom._internal.stopwatch import stopwatch
from facegeom.errors import FacegeomError, WeightsError
from facegeom.images.image_files import read_photo, save_image
from facegeom.images.limits import MAX_PIXELS
from facegeom.pipelines import DEFAULT_PIPELINE
from facegeom.reconstruction import Reconstruction, reconstruct
from facegeom.render import preview_sheet


@dataclass(frozen=True)
class Outcome:
    """The reconstruction of one photo, or the error that prevented the reconstruction.

    Attributes
    ----------
    photo : path of the photo
    image : (h, w, 3) uint8 array, the decoded photo, reduced if it is very large; None if the reconstruction failed
    reconstruction : Reconstruction; None if the reconstruction failed
    error : the error message if the reconstruction or the saving failed, else None
    """

    photo: Path
    image: ByteArray | None
    reconstruction: Reconstruction | None
    error: str | None

    def saved(self, mesh: Path | None, preview: Path | None = None, *, neutral: bool = False) -> Outcome:
        """Write the results to files; return this outcome, with the error message if writing fails.

        Parameters
        ----------
        mesh : path of the mesh file, whose suffix selects the file format; None: do not write it
        preview : path of a picture of the preview; None: do not write it
        neutral : whether to write the mesh with the neutral expression
        """
        if self.reconstruction is None or self.image is None:
            return self
        try:
            if mesh is not None:
                self.reconstruction.save(mesh, neutral=neutral)
            if preview is not None:
                save_image(preview_sheet(self.reconstruction, self.image), preview)
        except (FacegeomError, OSError) as error:
            return replace(self, error=str(error))
        return self

    def report(self, path: Path) -> dict[str, Any]:
        """Return the outcome as values that JSON can represent.

        Parameters
        ----------
        path : path of the mesh file

        Returns
        -------
        dict
            Always "photo", "output" (path of the mesh file; None after an error) and "error". Without an error also
            the values of `Reconstruction.to_dict`.
        """
        entry: dict[str, Any] = {"photo": str(self.photo), "output": None, "error": self.error}
        rec = self.reconstruction
        if rec is not None and self.error is None:
            entry |= {"output": str(path), **rec.to_dict()}
        return entry


def reconstruct_all(
    photos: Sequence[Path],
    *,
    pipeline: str = DEFAULT_PIPELINE,
    device: str = "cpu",
    head: bool = False,
    texture: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Outcome]:
    """Reconstruct photos one after the other and yield the outcome of each.

    Parameters
    ----------
    photos : paths of the photos
    pipeline, device, head, texture, max_pixels : as in `facegeom.reconstruct`

    Raises
    ------
    WeightsError
        If the networks cannot be loaded: no photo can be reconstructed without them.
    """
    for photo in photos:
        loading: dict[str, float] = {}
        try:
            with stopwatch(loading, "loading"):
                image = read_photo(photo, max_pixels=max_pixels)
            rec = reconstruct(image, pipeline=pipeline, device=device, head=head, texture=texture)
        except WeightsError:
            raise
        except (FacegeomError, OSError, ValueError) as error:
            yield Outcome(photo, None, None, str(error))
        else:
            yield Outcome(photo, image.image, replace(rec, timings={**rec.timings, **loading}), None)


def output_paths(photos: Sequence[Path], out: Path, suffix: str) -> list[Path]:
    """Return the path of the mesh file of each photo.

    Parameters
    ----------
    photos : paths of the photos
    out : for a single photo, the path of the mesh file; otherwise a folder, where each mesh has the name of its photo
    suffix : suffix of mesh files in a folder, such as ".glb"

    Raises
    ------
    ValueError
        If two photos would have the same mesh file.
    """
    if out.suffix and not os.path.isdir(out):
        if len(photos) > 1:
            raise ValueError(f"{len(photos)} photos cannot be written to the single file {out}: give a folder")
        return [out]
    paths = [out / f"{photo.stem}{suffix}" for photo in photos]
    taken: dict[Path, Path] = {}
    for photo, path in zip(photos, paths, strict=True):
        if path in taken:
            raise ValueError(f"{taken[path]} and {photo} would both be written to {path}")
        taken[path] = photo
    return paths
