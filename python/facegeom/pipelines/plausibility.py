"""How plausible predicted maps are as one view of a face, and which of two orientations is the right one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray
from facegeom.images.camera import roll_deg
from facegeom.pipelines.map_options import MapOptions


@dataclass(frozen=True)
class Plausibility:
    """How consistent the maps of a crop are with one view of one face."""

    share: float  # area of the mask as a fraction of the crop
    confidence: float  # mean probability inside the mask
    compactness: float  # area of the mask / area of its convex hull
    misfit_mm: float  # rms distance in mm of pixels and depths from the best rigid view of the correspondence
    score: float  # product of one term in [0, 1] for each field above


def plausibility(
    depth: Float32Array,
    correspondence: Float32Array,
    probability: Float32Array,
    mask: BoolArray,
    options: MapOptions = MapOptions(),
) -> Plausibility:
    """Measure how consistent the maps of a crop are with one weak-perspective view of one face.

    Parameters
    ----------
    depth : (S, S) float array, mm
    correspondence : (S, S, 3) float array, mm
    probability : (S, S) float array
    mask : (S, S) bool array, the thresholded probability without small parts
    options : MapOptions

    Notes
    -----
    The training data include crops without a face, but the network still predicts a face in some of these crops. Such
    predictions have a lower probability, and no weak-perspective camera fits their pixels, correspondence and depth.
    The parameters of the score were chosen with an earlier network, on 150 validation photos of LFW, two thirds of them
    turned, and on 250 pictures without a face that no benchmark uses. The minimum scores were chosen with the present
    network, on 199 validation portraits and the 544 pictures of `facegeom evaluate detection`.
    """
    view = rigid_view(depth, correspondence, mask)
    return scored(probability, mask, np.inf if view is None else view.misfit_mm, options)


def scored(probability: Float32Array, mask: BoolArray, misfit: float, options: MapOptions) -> Plausibility:
    """Return the plausibility of maps whose misfit, mm, is known; see `plausibility`."""
    share = float(mask.mean())
    if share < options.min_mask_share:
        return Plausibility(share, 0.0, 0.0, float("inf"), 0.0)
    confidence = float(probability[mask].mean())
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    hull = float(cv2.contourArea(cv2.convexHull(points))) + 1.0
    compactness = min(1.0, float(mask.sum()) / hull)
    certainty = float(
        np.clip((confidence - options.confidence_low) / (options.confidence_high - options.confidence_low), 0.0, 1.0)
    )
    size = min(1.0, share / options.full_mask_share)
    score = certainty * size * compactness / (1.0 + (misfit / options.misfit_mm) ** 2)
    return Plausibility(share, confidence, compactness, misfit, score)


@dataclass(frozen=True)
class RigidView:
    """The weak-perspective view of the mean face that fits predicted maps best.

    Attributes
    ----------
    rotation : (3, 3) float array, face frame to camera frame
    scale : pixels of the crop per mm
    origin : (2,) float array, column and row of the projected face origin
    misfit_mm : rms distance of the pixels and their depth from this view, mm
    """

    rotation: FloatArray
    scale: float
    origin: FloatArray
    misfit_mm: float

    @property
    def roll_deg(self) -> float:
        """Roll of the face in degrees, counter-clockwise in the crop."""
        return roll_deg(self.rotation)


def rigid_view(depth: Float32Array, correspondence: Float32Array, mask: BoolArray) -> RigidView | None:
    """Return the best weak-perspective view of the correspondence, or None if there is no such view.

    Parameters
    ----------
    depth : (S, S) float array, mm
    correspondence : (S, S, 3) float array, mm
    mask : (S, S) bool array
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < 8:
        return None
    stride = max(1, len(rows) // 1500)
    rows, columns = rows[::stride], columns[::stride]
    canonical = correspondence[rows, columns].astype(np.float64)
    centre = canonical.mean(axis=0)
    canonical -= centre
    pixels = np.column_stack([columns, -rows]).astype(np.float64)
    middle = pixels.mean(axis=0)
    pixels -= middle
    height = depth[rows, columns].astype(np.float64)
    height -= height.mean()

    view = np.linalg.lstsq(canonical, pixels, rcond=1e-6)[0].T  # (2, 3)
    left, stretch, right = np.linalg.svd(view, full_matrices=False)
    scale = float(stretch.mean())
    if not np.isfinite(scale) or scale <= 1e-6:
        return None
    across = left @ right  # the pair of orthonormal rows nearest to `view`
    rotation = np.vstack([across, np.cross(across[0], across[1])])
    seen = np.column_stack([pixels / scale, height])
    misfit = float(np.sqrt(((canonical @ rotation.T - seen) ** 2).sum(axis=1).mean()))
    origin = (middle - scale * (across @ centre)) * (1, -1)
    return RigidView(rotation, scale, origin, misfit)


def doubt(seen: Plausibility, options: MapOptions) -> float:
    """Return how doubtful a prediction is, from 0 to infinity, to compare the same face in two orientations.

    The score does not tell the right orientation of a face with a wide open mouth: the misfit is large where the chin
    is far from that of the mean face, and the score counts a confidence above `confidence_high` as certain. Here
    differences between high confidences count, too.
    """
    misfit = 1.0 + (seen.misfit_mm / options.misfit_mm) ** 2
    return (1.0 - seen.confidence) * misfit / max(seen.compactness, 1e-6)
