"""Estimation of the light in a photo of a face, as second-order spherical harmonics.

Ramamoorthi & Hanrahan, An efficient representation for irradiance environment maps, SIGGRAPH 2001: nine harmonics of
the normal represent 98 % of the irradiance of a convex Lambertian surface. The harmonics are fitted to gamma-encoded
grey levels. This is accurate enough for the ratio of the shadings of two similar normals.
"""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import BoolArray, Float32Array
from facegeom.texture.light import harmonics

__all__ = ["estimate_light", "harmonics", "shading_ratio"]

HARMONICS = 9
RIDGE = np.array([0, 1, 1, 1, 3, 3, 3, 3, 3], np.float32) * 0.01  # per point; higher orders are less certain
OUTLIER = 0.15  # residual at which the weight of a point is one half: brows, stubble, highlights
LEAST_LIGHT = 0.3  # lower limit of the shading, relative to the mean of the face
LARGEST_RATIO = 1.8


def estimate_light(grey: Float32Array, albedo: Float32Array, normals: Float32Array, seen: BoolArray) -> Float32Array:
    """Estimate the light from grey levels, which are modelled as albedo times shading.

    Parameters
    ----------
    grey : (n,) float32, grey levels of the vertices in the photo
    albedo : (n,) float32, grey levels of the mean face without shading
    normals : (n, 3) float32, in the camera frame
    seen : (n,) bool; vertices to use

    Returns
    -------
    (9,) float32
        Scaled to a mean shading of one over the vertices used.
    """
    basis = harmonics(normals[seen])
    ratio = grey[seen] / np.maximum(albedo[seen], 8)
    ratio = ratio / max(float(ratio.mean()), 1e-3)
    weight = np.ones(len(ratio), np.float32)
    light = np.zeros(HARMONICS, np.float32)
    for _ in range(4):
        weighted = basis * weight[:, None]
        normal = weighted.T @ basis + np.diag(RIDGE * weight.sum())
        light = np.linalg.solve(normal, weighted.T @ ratio).astype(np.float32)
        weight = (1 / (1 + ((ratio - basis @ light) / OUTLIER) ** 2)).astype(np.float32)
    return light


def shading_ratio(
    light: Float32Array, before: Float32Array, after: Float32Array, relit: Float32Array | None = None
) -> Float32Array:
    """Return the ratio of two shadings, limited to [1 / 1.8, 1.8], (n,).

    Parameters
    ----------
    light : (9,) float32
    before, after : (n, 3) float32, unit, camera frame
    relit : (9,) float32, light on `after`; None: the same as on `before`
    """
    old = np.maximum(harmonics(before) @ light, LEAST_LIGHT)
    new = np.maximum(harmonics(after) @ (light if relit is None else relit), LEAST_LIGHT)
    return np.asarray(np.clip(new / old, 1 / LARGEST_RATIO, LARGEST_RATIO), dtype=np.float32)
