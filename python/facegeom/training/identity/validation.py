"""Validation of the identity network on reshaped photos and synthetic heads that are not in the training data."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch

from facegeom._internal.arrays import FloatArray
from facegeom.face_model import FaceModel
from facegeom.networks.identity import IdentityNetwork
from facegeom.networks.identity_units import ShapeUnits
from facegeom.training.identity.reshaped_photos import ORIGINAL, RESHAPED, ReshapedPhotos
from facegeom.training.identity.samples import GroupOptions, noisy_crop

LEADING = 20  # number of components whose slopes are averaged


class Recovery(NamedTuple):
    """Comparison of predicted and true changes.

    Attributes
    ----------
    slope : (k,) float array, slope of the regression line through zero, predicted against true change
    correlation : (k,) float array
    error_mm : mean over the pairs of the root mean square error of the vertices
    unchanged_mm : the same for a prediction of zero change
    """

    slope: FloatArray
    correlation: FloatArray
    error_mm: float
    unchanged_mm: float


def recovery(units: ShapeUnits, predicted: FloatArray, true: FloatArray) -> Recovery:
    """Compare predicted with true changes, both (p, k) in standard deviations."""
    slope = (predicted * true).sum(0) / np.maximum((true * true).sum(0), 1e-12)
    r, t = predicted - predicted.mean(0), true - true.mean(0)
    correlation = (r * t).sum(0) / np.maximum(np.sqrt((r * r).sum(0) * (t * t).sum(0)), 1e-12)
    return Recovery(slope, correlation, float(units.rms_mm(predicted - true).mean()), float(units.rms_mm(true).mean()))


class IdentityValidation:
    """Measurements on crops with the landmark errors of training, but without other augmentation."""

    def __init__(
        self,
        model: FaceModel,
        units: ShapeUnits,
        photos: ReshapedPhotos,
        heads: ReshapedPhotos | None,
        size: int,
        options: GroupOptions,
    ) -> None:
        self.units, self.photos, self.heads = units, photos, heads
        self.photo_crops = _crops(model, photos, size, options)
        self.head_crops = None if heads is None else _crops(model, heads, size, options)

    def measure(self, network: IdentityNetwork) -> dict[str, float]:
        """Return the measured values of a network by name."""
        answers = self.answers(network, self.photo_crops)
        photos = self.photos
        original = np.full(len(photos.names), -1)
        original[photos.photo[photos.kind == ORIGINAL]] = np.flatnonzero(photos.kind == ORIGINAL)
        figures: dict[str, float] = {}
        for name, rows in (("", photos.kind == RESHAPED), ("turned_", photos.kind > RESHAPED)):
            if not rows.any():
                continue
            start = original[photos.photo[rows]]
            result = recovery(self.units, answers[rows] - answers[start], photos.change[rows].astype(np.float64))
            figures[f"{name}slope"] = float(result.slope[:LEADING].mean())
            figures[f"{name}correlation"] = float(result.correlation[:LEADING].mean())
            figures[f"{name}error_mm"] = result.error_mm
            figures[f"{name}unchanged_mm"] = result.unchanged_mm
        figures["spread_mm"] = float(self.units.rms_mm(answers[photos.kind == ORIGINAL]).mean())
        if self.heads is not None and self.head_crops is not None:
            heads = self.answers(network, self.head_crops)
            result = recovery(self.units, heads, self.heads.identity.astype(np.float64))
            figures["head_slope"] = float(result.slope[:LEADING].mean())
            figures["head_correlation"] = float(result.correlation[:LEADING].mean())
            figures["head_error_mm"], figures["head_mean_mm"] = result.error_mm, result.unchanged_mm
        return figures

    @torch.inference_mode()
    def answers(self, network: IdentityNetwork, crops: np.ndarray) -> FloatArray:
        """Predict coefficients (n, k) in standard deviations from crops (n, S, S, 3) uint8."""
        network.eval()
        means = []
        for start in range(0, len(crops), 64):
            photo = torch.from_numpy(crops[start : start + 64].transpose(0, 3, 1, 2)).float().div(127.5).sub(1)
            photo = photo.contiguous(memory_format=torch.channels_last)
            means.append(network(photo.to(next(network.parameters()).device)).mean.double().cpu().numpy())
        return np.asarray(np.concatenate(means) / self.units.scale)

    def sheet(self, columns: int = 10, rows: int = 5) -> np.ndarray:
        """Return a picture of the first crops."""
        cells = list(self.photo_crops[: columns * rows])
        return np.vstack(
            [np.hstack(cells[at : at + columns]) for at in range(0, len(cells) // columns * columns, columns)]
        )


def _crops(model: FaceModel, photos: ReshapedPhotos, size: int, options: GroupOptions) -> np.ndarray:
    cv2.setNumThreads(0)
    return np.stack(
        [
            noisy_crop(model, photos, row, size, np.random.default_rng([1, row]), options)[0]
            for row in range(len(photos))
        ]
    )
