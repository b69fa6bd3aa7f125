"""Loading of the training and validation samples: labelled photos and synthetic faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.training.data.assets import Assets
from facegeom.training.data.labels import Labels, find_photos
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.samples import FaceSamples, PhotoStore, PosedPhotos, SyntheticSource
from facegeom.training.data.split import split_names

if TYPE_CHECKING:
    from facegeom.training.data.synthetic import SyntheticFaces


class TrainingData(NamedTuple):
    """Samples of the training and of the validation photos, with the same options.

    Only the first are reshaped or diffused. Their synthetic faces have different skins and lights.
    """

    training: FaceSamples
    validation: FaceSamples


@dataclass(frozen=True)
class Sources:
    """Input files of a training run."""

    photos: Path  # folder that contains the photos, also in subfolders
    labels: Path  # file written by `facegeom prepare labels`
    texture_model: Path | None = None  # file written by `facegeom prepare texture-model`; needed for synthetic faces
    assets: Path | None = None  # file written by `facegeom prepare assets`; skins and lights of synthetic faces
    reshaped: Path | None = None  # folder written by `facegeom prepare reshaped`, of the training photos
    diffused: Path | None = None  # folder written by `facegeom prepare diffused`, of the training photos
    translator: Path | None = None  # weight file of `facegeom train translate`, applied to synthetic images


class SyntheticParts(NamedTuple):
    """Synthetic faces of the training and of the validation set; they are the same object without assets."""

    training: SyntheticFaces
    validation: SyntheticFaces


def synthetic_faces(sources: Sources, mix: MixOptions) -> SyntheticParts:
    """Return the synthetic faces of a training run; the assets of the validation set train nothing.

    Raises
    ------
    FacegeomError
        If there is no texture model.
    """
    from facegeom.training.data.synthetic import SyntheticFaces

    if sources.texture_model is None:
        raise FacegeomError("synthetic faces need --texture-model; use --no-synthetic to train without them")
    model = load_face_model()
    if sources.assets is None:
        faces = SyntheticFaces(model, mix, sources.texture_model)
        return SyntheticParts(faces, faces)
    assets = Assets.load(sources.assets)
    parts = (
        SyntheticFaces(model, mix, sources.texture_model, assets=assets.part(held_out=held_out))
        for held_out in (False, True)
    )
    return SyntheticParts(*parts)


def load_training_data(sources: Sources, mix: MixOptions, *, synthetic: bool = True) -> TrainingData:
    """Read labels and photos and make the samples of the training and validation sets.

    Parameters
    ----------
    sources : Sources
    mix : MixOptions
        Shares of the kinds of samples, and distributions of pose and crop.
    synthetic : bool
        Whether the samples include synthetic faces.

    Returns
    -------
    TrainingData

    Raises
    ------
    FacegeomError
        If the training or validation set is empty, if synthetic faces are wanted without a texture model, if a
        translator is given without synthetic faces, or if there are reshaped or diffused versions of other photos.
    """
    cv2.setNumThreads(0)  # OpenCV's threads do not work in forked processes, such as those of the data loader
    model = load_face_model()
    labels = Labels.load(sources.labels)
    found = find_photos(sources.photos)
    split = split_names([str(n) for n in labels.names])
    parts = {}
    for name, rows in (("training", split.training), ("validation", split.validation)):
        rows = np.intersect1d(rows, labels.kept)
        if not len(rows):
            raise FacegeomError(f"the {name} set is empty: {len(labels)} labels, the split needs more than 843")
        parts[name] = rows, PhotoStore(found, [str(n) for n in labels.names[rows]])
    drawn: dict[str, SyntheticSource] = {}
    if synthetic:
        drawn = {name: faces.draw for name, faces in synthetic_faces(sources, mix)._asdict().items()}
    if sources.translator is not None:
        from facegeom.training.data.translated import TranslatedFaces

        if not drawn:
            raise FacegeomError("a translator needs synthetic faces: remove --translator or --no-synthetic")
        drawn = {name: TranslatedFaces(draw, sources.translator).draw for name, draw in drawn.items()}
    names = [str(name) for name in labels.names[parts["training"][0]]]
    changed = _changed_photos(model, sources, names)
    samples = [
        FaceSamples(model, store, labels, rows, mix, drawn.get(name), changed if name == "training" else None)
        for name, (rows, store) in parts.items()
    ]
    return TrainingData(*samples)


def _changed_photos(model: FaceModel, sources: Sources, names: list[str]) -> PosedPhotos | None:
    """Return the reshaped and the diffused versions of the training photos with these names; None if there are none."""
    found: list[PosedPhotos] = []
    if sources.reshaped is not None:
        from facegeom.training.identity.reshaped_poses import ReshapedPoses

        found.append(ReshapedPoses.load(model, sources.reshaped, names))
    if sources.diffused is not None:
        from facegeom.training.diffusion.diffused_poses import DiffusedPoses

        found.append(DiffusedPoses.load(model, sources.diffused, names))
    return JoinedPhotos(found) if len(found) > 1 else next(iter(found), None)


class JoinedPhotos:
    """Two or more sets of posed photos, each of which is drawn as often as the others, whatever its size.

    Parameters
    ----------
    parts : the sets
    """

    def __init__(self, parts: Sequence[PosedPhotos]) -> None:
        self.parts, self.largest = tuple(parts), max(len(part) for part in parts)

    def __len__(self) -> int:
        return self.largest * len(self.parts)

    def __getitem__(self, row: int) -> tuple[ByteArray, Pose]:
        """Return a photo and the face in it; the photos of smaller sets come several times."""
        part = self.parts[row // self.largest]
        return part[row % self.largest % len(part)]
