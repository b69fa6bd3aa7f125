"""Neutral face shapes without position, orientation and size, and how well a change of shape is recovered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import similarity
from facegeom.networks.identity_units import shape_units

LEADING = 20
"""Number of leading identity components whose slopes and correlations are averaged."""

COORDINATE_STRIDE = 4
"""Every fourth vertex is used for the coordinates of `ShapeSpace.coordinates`, to save memory."""


class ShapeSpace:
    """Shapes of the visible face as displacements from the mean face.

    Parameters
    ----------
    model : FaceModel
    count : int
        Number of identity components.

    Attributes
    ----------
    vertices : (n,) int array, vertices of the face part that depth maps show
    """

    def __init__(self, model: FaceModel, count: int = 60) -> None:
        units = shape_units(model, count)
        self.vertices = units.vertices
        self._mean = model.mean[self.vertices]
        self._inverse = np.linalg.pinv(units.basis.reshape(count, -1))

    def displacement(self, vertices: FloatArray) -> FloatArray:
        """Return the displacements (n, 3) of a face from the mean face, mm.

        Parameters
        ----------
        vertices : (m, 3) float array
            Vertices of the face; the first ones are those of the face part of the face model. A least-squares
            similarity first moves the face onto the mean face.
        """
        V = vertices[self.vertices]
        rotation, scale, shift = similarity(V, self._mean)
        return np.asarray(scale * V @ rotation.T + shift - self._mean)

    def coefficients(self, displacements: FloatArray) -> FloatArray:
        """Return the identity coefficients (..., k) nearest to displacements (..., n, 3), in standard deviations."""
        return np.asarray(displacements.reshape(*displacements.shape[:-2], -1) @ self._inverse)

    @staticmethod
    def coordinates(displacements: FloatArray) -> FloatArray:
        """Return coordinates (p, d) of displacements (p, n, 3): distances between rows are RMS distances in mm."""
        some = displacements[:, ::COORDINATE_STRIDE]
        return np.asarray(some.reshape(len(some), -1) / np.sqrt(some.shape[1]))


def rms_mm(displacements: FloatArray) -> FloatArray:
    """Return the root mean square length (...) of displacements (..., n, 3), in their unit."""
    return np.asarray(np.sqrt((displacements**2).sum(-1).mean(-1)))


class ChangeErrors(NamedTuple):
    """Comparison of recovered changes of shape with the true ones.

    Attributes
    ----------
    slope : (k,) float array
        Slope of the regression line through zero, recovered against true change, of each identity component.
    correlation : (k,) float array
        Correlation of recovered and true change, of each component.
    error_mm : (p,) float array
        RMS over the vertices of the recovered minus the true change, of each pair.
    unchanged_mm : (p,) float array
        The same for an answer that never changes, such as the mean face.
    """

    slope: FloatArray
    correlation: FloatArray
    error_mm: FloatArray
    unchanged_mm: FloatArray

    def summary(self) -> dict[str, float]:
        """Return the means: of slope and correlation over the `LEADING` components, of the errors over the pairs."""
        return {
            "pairs": len(self.error_mm),
            "slope": float(self.slope[:LEADING].mean()),
            "correlation": float(self.correlation[:LEADING].mean()),
            "error_mm": float(self.error_mm.mean()),
            "unchanged_mm": float(self.unchanged_mm.mean()),
        }


@dataclass
class Changes:
    """Coefficients and errors of the pairs measured so far, so that no vertices have to be kept.

    Attributes
    ----------
    space : ShapeSpace
    recovered, true : lists of (k,) float arrays, changes of the coefficients
    error_mm, unchanged_mm : lists of floats
    """

    space: ShapeSpace
    recovered: list[FloatArray]
    true: list[FloatArray]
    error_mm: list[float]
    unchanged_mm: list[float]

    @classmethod
    def none(cls, space: ShapeSpace) -> Changes:
        """Return an empty collection."""
        return cls(space, [], [], [], [])

    def add(self, recovered: FloatArray, true: FloatArray) -> None:
        """Add a pair: the recovered and the true change of the displacements, both (n, 3) mm."""
        self.recovered.append(self.space.coefficients(recovered))
        self.true.append(self.space.coefficients(true))
        self.error_mm.append(float(rms_mm(recovered - true)))
        self.unchanged_mm.append(float(rms_mm(true)))

    def errors(self) -> ChangeErrors:
        """Return the comparison over all pairs.

        Raises
        ------
        ValueError
            If there is no pair.
        """
        if not self.true:
            raise ValueError("there is no pair to compare")
        recovered, true = np.array(self.recovered), np.array(self.true)
        return ChangeErrors(
            slopes(recovered, true),
            correlations(recovered, true),
            np.array(self.error_mm),
            np.array(self.unchanged_mm),
        )


def slopes(recovered: FloatArray, true: FloatArray) -> FloatArray:
    """Return the slope (k,) of the regression line through zero of recovered on true values, both (p, k)."""
    return np.asarray((recovered * true).sum(0) / np.maximum((true * true).sum(0), 1e-12))


def correlations(recovered: FloatArray, true: FloatArray) -> FloatArray:
    """Return the correlation (k,) of recovered and true values, both (p, k); 0 for a constant column."""
    r, t = recovered - recovered.mean(0), true - true.mean(0)
    norm = np.sqrt((r * r).sum(0) * (t * t).sum(0))
    return np.asarray((r * t).sum(0) / np.maximum(norm, 1e-12))


def mean_and_percentile(values: Sequence[float]) -> dict[str, float]:
    """Return the number, the mean and the 90th percentile of values."""
    return {
        "photos": len(values),
        "mean": float(np.mean(values)) if values else float("nan"),
        "percentile90": float(np.percentile(values, 90)) if values else float("nan"),
    }
