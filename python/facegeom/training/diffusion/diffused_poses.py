"""Edited and generated photos as posed faces, so that they train networks of maps and meshes (`--diffused`)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel
from facegeom.images.image_files import load_image
from facegeom.training.data.labels import Labels
from facegeom.training.data.pose import Pose
from facegeom.training.diffusion.conditions import posed
from facegeom.training.diffusion.diffused_set import IMAGES, LABELS, RECORDS


class DiffusedPoses:
    """Images of a folder of `facegeom prepare diffused` that passed its checks; a sequence of (image, `Pose`).

    Parameters
    ----------
    model : FaceModel
    folder : Path
    labels : Labels of the images
    """

    def __init__(self, model: FaceModel, folder: Path, labels: Labels) -> None:
        self.model, self.folder, self.labels, self.rows = model, folder, labels, labels.kept

    @classmethod
    def load(cls, model: FaceModel, folder: str | os.PathLike[str], training: Sequence[str]) -> DiffusedPoses:
        """Read a folder of `facegeom prepare diffused`.

        Parameters
        ----------
        model : FaceModel
        folder : path
        training : names of the training photos

        Raises
        ------
        FacegeomError
            If the folder has no labels or no usable image, or shows a photo that is not a training photo.
        """
        folder = Path(folder)
        if not (folder / LABELS).is_file():
            raise FacegeomError(f"there are no labels in {folder}: make them with `facegeom prepare diffused`")
        records = (json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / RECORDS).glob("*.json")))
        others = sorted({str(record["source"]) for record in records} - set(training))
        if others:
            raise FacegeomError(f"{folder} shows {len(others)} photos that are not in the training set: {others[0]}")
        made = cls(model, folder, Labels.load(folder / LABELS))
        if not len(made):
            raise FacegeomError(f"no image in {folder} passed the checks")
        return made

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[ByteArray, Pose]:
        """Return an image (S, S, 3) and the head in it."""
        label = int(self.rows[row])
        image = load_image(self.folder / IMAGES / str(self.labels.names[label]))
        return np.asarray(image), posed(self.model, self.labels.fit(label))
