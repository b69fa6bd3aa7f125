"""The light on a face, estimated from its skin, and photos without it.

Ramamoorthi & Hanrahan, An efficient representation for irradiance environment maps, SIGGRAPH 2001: nine harmonics of
the normal represent 98 % of the irradiance of a convex Lambertian surface. Shadows that one part casts on another, and
highlights, are not represented: they stay in the colours.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom.face_model.template import Template
from facegeom.texture.appearance import OWN, View
from facegeom.texture.baking import fill_smoothly
from facegeom.texture.head_classes import HeadClasses

_Real = TypeVar("_Real", np.float32, np.float64)

RIDGE = np.array([0, 1, 1, 1, 3, 3, 3, 3, 3]) * 0.01  # per vertex; higher orders are less certain
OUTLIER = 0.15  # residual, relative to the mean, at which the weight of a vertex is one half: beards, spots, highlights
ROUNDS = 6  # iterations of the robust fit
LIMITS = (0.35, 2.5)  # shading by which a photo is divided, relative to the mean of the skin
LEAST_VERTICES = 200  # minimum number of vertices of seen skin from which the light is estimated
LARGEST = 512  # largest side in pixels of the picture of the shading
SOFT_PIXELS = 1.5  # standard deviation of the Gaussian that smooths this picture


def harmonics(normals: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """Return the nine harmonics (n, 9) to second order, not normalised, of unit normals (n, 3)."""
    x, y, z = normals.T
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], axis=1)


def skin_light(colours: FloatArray, normals: FloatArray) -> FloatArray:
    """Estimate the light on skin of one colour, (9, 3): one column for each channel, with mean shading 1.

    Parameters
    ----------
    colours : (n, 3) float array, linear light
    normals : (n, 3) float array, unit
    """
    basis, out = harmonics(normals), np.zeros((9, 3))
    for channel in range(3):
        ratio = colours[:, channel] / max(float(np.median(colours[:, channel])), 1e-4)
        weight = np.ones(len(ratio))
        for _ in range(ROUNDS):
            weighted = basis * weight[:, None]
            normal = weighted.T @ basis + np.diag(RIDGE * weight.sum())
            light = np.linalg.solve(normal, weighted.T @ ratio)
            weight = 1 / (1 + ((ratio - basis @ light) / OUTLIER) ** 2)
        out[:, channel] = light / max(float((basis @ light).mean()), 1e-3)
    return out


def without_light(template: Template, view: View, classes: HeadClasses) -> ByteArray:
    """Return the photo (h, w, 3) of a view with the light on the head divided out.

    Beside the head the photo changes smoothly to its own colours. A photo with too little skin is returned as it is.

    Parameters
    ----------
    template : Template
    view : View of the fine vertices of the template
    classes : HeadClasses of the photo
    """
    skin = template.fine.skin_count
    normals = geometry.vertex_normals(view.vertices, template.fine.faces) @ view.camera.rotation.T
    used = (view.seen[:skin] > 0.5) & (classes.at(view.place[:skin])[:, 0] > OWN) & ~_features(template)
    if used.sum() < LEAST_VERTICES:
        return view.photo
    light = skin_light(linear(view.colors[:skin][used]), normals[:skin][used])
    height, width = view.photo.shape[:2]
    low = np.clip(np.floor(view.place.min(axis=0)), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(view.place.max(axis=0)) + 1, low + 1, (width, height)).astype(int)
    step = max(1.0, float((high - low).max()) / LARGEST)
    shape = np.maximum(np.ceil((high - low) / step).astype(int), 2)
    points = np.column_stack([(view.place - low + 0.5) / step - 0.5, view.depth])
    raster = geometry.rasterize(points, template.fine.faces, normals, (int(shape[1]), int(shape[0])))
    covered: BoolArray = np.asarray(raster.triangle >= 0)
    if not covered.any():
        return view.photo
    unit = raster.attributes[covered]
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-9)
    logs = np.zeros((*covered.shape, 3), np.float32)
    logs[covered] = np.log(np.clip(harmonics(unit) @ light, *LIMITS))
    logs = cv2.GaussianBlur(fill_smoothly(logs, covered), (0, 0), SOFT_PIXELS)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    shading = np.exp(cv2.resize(logs, size, interpolation=cv2.INTER_LINEAR))
    out = view.photo.copy()
    part = out[low[1] : high[1], low[0] : high[0]]
    part[:] = np.rint(encoded(linear(part) / shading)).astype(np.uint8)
    return out


def linear(colours: FloatArray | Float32Array | ByteArray) -> FloatArray:
    """Return sRGB colours in [0, 255] as linear light in [0, 1]."""
    values = np.asarray(colours, np.float64) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light: FloatArray) -> FloatArray:
    """Return linear light as sRGB colours in [0, 255]; more light than 1 is white."""
    values = np.clip(light, 0, 1)
    return 255 * np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def _features(template: Template) -> BoolArray:
    """Return the vertices of the fine skin with other colours than skin, (s,): brows, lids and lips."""
    regions, skin = template.fine.regions, template.fine.skin_count
    names = [name for name in regions if name.startswith(("brow", "eyelids", "lip", "eye_rims"))]
    return np.asarray(np.any([regions[name][:skin] for name in names], axis=0))
