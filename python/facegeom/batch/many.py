"""`reconstruct_many`: the reconstructions of many photos, by worker processes."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom.batch.engines import reply_stream
from facegeom.batch.inputs import find_photos, is_pattern
from facegeom.batch.tasks import ReconstructTask
from facegeom.images.limits import MAX_PIXELS
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend
from facegeom.pipelines import DEFAULT_PIPELINE

if TYPE_CHECKING:
    from facegeom.detection import Detector
    from facegeom.images.image_files import ImageSource
    from facegeom.pipelines.noise_removal import Denoise
    from facegeom.reconstruction import Reconstruction


@dataclass(frozen=True)
class Outcome:
    """The faces of one photo, or why there are none.

    Attributes
    ----------
    photo : the photo as it was given; for folders and patterns, the path that was found
    index : number of the photo in the input, from 0
    reconstructions : one face; with `all_faces` all faces; empty after an error
    error_class : name of the class of the error, such as "NoFaceFound"; "WorkerDied" if the worker process ended,
        "TimeoutError" if the photo took too long; None without an error
    error : one sentence; None without an error
    """

    photo: ImageSource
    index: int
    reconstructions: tuple[Reconstruction, ...] = ()
    error_class: str | None = None
    error: str | None = None


def reconstruct_many(
    photos: str | os.PathLike[str] | Iterable[ImageSource],
    *,
    workers: int | None = None,
    ordered: bool = False,
    timeout: float | None = None,
    engine: str = "local",
    address: str | None = None,
    all_faces: bool = False,
    pipeline: str = DEFAULT_PIPELINE,
    box: npt.ArrayLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    head: bool = False,
    texture: int | None = None,
    detector: Detector = "yunet",
    min_face: float | None = None,
    backend: str = DEFAULT_BACKEND,
    max_pixels: int = MAX_PIXELS,
    expression: str = "weights",
    eyewear: str = "keep",
    albedo: bool = False,
    hair: bool = True,
    denoise: Denoise = "auto",
) -> Generator[Outcome, None, None]:
    """Reconstruct the faces of many photos in worker processes; yield an outcome for each photo as it is finished.

    Parameters
    ----------
    photos : photos as `reconstruct` takes them. A path may also be a folder, which is searched with its subfolders, or
        a pattern such as ``photos/**/*.jpg``. An iterator is read as far as the workers need it.
    workers : number of worker processes with one thread each. None: one for each processor core, with Ray each of the
        cluster. 0: no processes; the caller's process does the work.
    ordered : True: yield in the order of `photos`. False: as they come.
    timeout : longest time for a photo in seconds; its worker is then ended. None: no limit
    engine : "local": processes on this machine. "ray": processes on a Ray cluster (extra `ray`)
    address : address of the Ray cluster; None: the one that Ray finds, or else a new one on this machine
    all_faces : True: all faces of each photo, as `reconstruct_all` returns them
    pipeline, box, device, face_index, head, texture, detector, min_face, backend, max_pixels, expression, eyewear,
        albedo, hair, denoise : as in `reconstruct`; the same for all photos

    Yields
    ------
    Outcome

    Raises
    ------
    WeightsError, FacegeomError
        If the networks cannot be loaded, or the pipeline does not support an option: no photo can be reconstructed.
    BatchError
        If worker processes do not start.
    ImageError, OSError
        If a folder or a pattern contains no photo, or a folder cannot be read.
    TypeError, ValueError
        If an argument is invalid.

    Notes
    -----
    A photo that fails has an outcome with an error. That includes photos whose worker died, ran out of memory or took
    too long: the worker is replaced. The workers end when the iterator is used up, closed or deleted.

    A worker needs about 0.5 GB of memory. On two cores two workers are about twice as fast as one process.

    Examples
    --------
    >>> for outcome in facegeom.reconstruct_many("photos"):  # doctest: +SKIP
    ...     print(outcome.photo, outcome.error or outcome.reconstructions[0].pose)
    """
    check_backend(backend, device)
    options = {
        "pipeline": pipeline, "box": box, "device": device, "face_index": face_index, "head": head, "texture": texture,
        "detector": detector, "min_face": min_face, "backend": backend,
        "max_pixels": max_pixels,
        "expression": expression, "eyewear": eyewear, "albedo": albedo, "hair": hair,
        "denoise": denoise,
    }  # fmt: skip
    if isinstance(photos, (str, os.PathLike)):
        photos = [photos]
    if isinstance(photos, (bytes, bytearray, memoryview, np.ndarray)) or not hasattr(photos, "__iter__"):
        raise TypeError(f"photos must be a path or an iterable of photos, got {type(photos).__name__}")
    if box is not None:
        options["box"] = check.box(box)
    if check.flag(all_faces, "all_faces"):
        for name, value, default in (("box", box, None), ("face_index", face_index, 0)):
            if value is not default:
                raise ValueError(f"all_faces=True finds the faces itself: {name} must be {default}, got {value!r}")
        del options["box"], options["face_index"]
    replies = reply_stream(
        _sources(photos), ReconstructTask(options, all_faces),
        engine=engine, address=address, workers=workers, timeout=timeout, ordered=check.flag(ordered, "ordered"),
    )  # fmt: skip
    return _outcomes(replies)


def _outcomes(replies: Iterator[Any]) -> Generator[Outcome, None, None]:
    try:
        for index, photo, reply in replies:
            if reply.failure is None:
                yield Outcome(photo, index, reply.result)
            else:
                yield Outcome(photo, index, (), reply.failure.kind, reply.failure.message)
    finally:
        replies.close()  # type: ignore[attr-defined]


def _sources(photos: Iterable[ImageSource]) -> Iterator[ImageSource]:
    """Yield the photos one by one, those of folders and patterns included."""
    for photo in photos:
        if isinstance(photo, (str, os.PathLike)) and (os.path.isdir(photo) or is_pattern(Path(photo))):
            yield from (found.path for found in find_photos(photo))
        else:
            yield photo
