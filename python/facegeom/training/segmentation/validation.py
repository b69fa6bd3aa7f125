"""Validation of the segmentation network: intersection over union of each class, and a preview picture."""

from __future__ import annotations

import numpy as np
import torch

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.networks.segmentation import Segmentation, SegmentationNetwork
from facegeom.networks.segmentation_crop import CLASSES
from facegeom.training.segmentation.crops import CHANGED, HEAD, PORTRAIT, SegmentationCrops
from facegeom.training.segmentation.portrait_labels import UNKNOWN
from facegeom.training.segmentation.samples import centred

COLOURS = np.array(
    [(90, 90, 90), (255, 200, 170), (120, 60, 20), (255, 140, 0), (0, 0, 255), (255, 0, 255), (0, 160, 0)], np.uint8
)
"""Colours of `CLASSES` in pictures."""
SHOWN = 24  # number of crops in the preview
KINDS = {PORTRAIT: "portraits", CHANGED: "changed", HEAD: "heads"}


def confusion(found: np.ndarray, truth: ByteArray) -> FloatArray:
    """Return the number of pixels of each pair of true and found class, (7, 7); unknown pixels do not count."""
    known = truth != UNKNOWN
    pairs = truth[known].astype(np.int64) * len(CLASSES) + found[known]
    return np.bincount(pairs, minlength=len(CLASSES) ** 2).reshape(len(CLASSES), -1).astype(np.float64)


def intersection_over_union(counts: FloatArray) -> dict[str, float]:
    """Return the intersection over union of each class that occurs, by name."""
    both = np.diag(counts)
    either = counts.sum(0) + counts.sum(1) - both
    return {name: float(both[i] / either[i]) for i, name in enumerate(CLASSES) if counts[i].sum() > 0}


def overlay(image: ByteArray, classes: ByteArray) -> ByteArray:
    """Return an image (S, S, 3) under the colours of its classes (S, S)."""
    colours = np.vstack([COLOURS, np.tile(np.array([[0, 255, 255]], np.uint8), (256 - len(COLOURS), 1))])
    return np.asarray(0.45 * image + 0.55 * colours[classes], np.uint8)


class SegmentationValidation:
    """Measures a network on stored crops.

    Parameters
    ----------
    crops : SegmentationCrops of photos and heads that train nothing
    size : side of the network's crop in pixels
    """

    def __init__(self, crops: SegmentationCrops, size: int) -> None:
        self.crops = crops
        samples = [centred(crops, row, size) for row in range(len(crops))]
        self.images = np.array([image for image, _ in samples])
        self.truth = np.array([classes for _, classes in samples])
        self.found = np.zeros_like(self.truth)

    def measure(self, network: SegmentationNetwork, device: torch.device) -> dict[str, float]:
        """Return the intersection over union by kind of crop and class."""
        predictor = Segmentation(network, device)
        for start in range(0, len(self.images), 32):
            rows = slice(start, start + 32)
            self.found[rows] = predictor.predict(self.images[rows]).argmax(-1)
        measured: dict[str, float] = {}
        for kind, name in KINDS.items():
            rows_of = np.flatnonzero(self.crops.kind == kind)
            if len(rows_of):
                values = intersection_over_union(confusion(self.found[rows_of], self.truth[rows_of]))
                measured |= {f"{name}/{key}": value for key, value in values.items()}
        return measured

    def sheet(self) -> np.ndarray:
        """Return images, their classes and the found classes, (h, w, 3) uint8."""
        rows = np.linspace(0, len(self.images) - 1, min(SHOWN, len(self.images))).astype(int)
        cells = [
            np.vstack([self.images[row], *(overlay(self.images[row], c[row]) for c in (self.truth, self.found))])
            for row in rows
        ]
        while len(cells) % 8:
            cells.append(np.zeros_like(cells[0]))
        return np.vstack([np.hstack(cells[start : start + 8]) for start in range(0, len(cells), 8)])
