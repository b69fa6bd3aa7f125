"""The photos that training and validation see, with their fits, and the synthetic faces beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.training.data.labels import Labels, find_photos
from facegeom.training.data.samples import FaceSamples, MixOptions, PhotoStore
from facegeom.training.data.split import split_names


class TrainingData(NamedTuple):
    """Samples of the training and of the validation photos, with the same mix and synthetic faces."""

    training: FaceSamples
    validation: FaceSamples


@dataclass(frozen=True)
class Sources:
    """The files that training reads."""

    photos: Path  # folder of photos
    labels: Path  # file of `facegeom prepare labels`
    texture_model: Path | None = None  # file of `facegeom prepare texture-model`, for synthetic faces
    translator: Path | None = None  # file of `facegeom train translate` that the images of those go through


def load_training_data(sources: Sources, mix: MixOptions, *, synthetic: bool = True) -> TrainingData:
    """Read labels and photos and set up the samples.

    Parameters
    ----------
    sources : Sources
    mix : MixOptions
    synthetic : whether training sees synthetic faces

    Returns
    -------
    TrainingData

    Raises
    ------
    FacegeomError
        When a part of the split is empty, or synthetic faces lack their texture model.
    """
    cv2.setNumThreads(0)  # OpenCV's threads do not survive the fork of the loader's workers
    model = load_face_model()
    labels = Labels.load(sources.labels)
    found = find_photos(sources.photos)
    split = split_names([str(n) for n in labels.names])
    parts = {}
    for name, rows in (("training", split.training), ("validation", split.validation)):
        rows = np.intersect1d(rows, labels.kept)
        if not len(rows):
            raise FacegeomError(f"the {len(labels)} labels leave no {name} photos: the split needs more than 843")
        parts[name] = rows, PhotoStore(found, [str(n) for n in labels.names[rows]])
    source = None
    if synthetic:
        from facegeom.training.data.synthetic import SyntheticFaces

        if sources.texture_model is None:
            raise FacegeomError("synthetic faces need --texture-model; make one, or give --no-synthetic")
        source = SyntheticFaces(model, mix, sources.texture_model).draw
    if sources.translator is not None:
        from facegeom.training.data.translated import TranslatedFaces

        if source is None:
            raise FacegeomError("a translator needs synthetic faces to translate")
        source = TranslatedFaces(source, sources.translator).draw
    samples = [FaceSamples(model, store, labels, rows, mix, source) for rows, store in parts.values()]
    return TrainingData(*samples)
