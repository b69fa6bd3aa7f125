"""Identity and expression components of the face model, from the ICT head's on its own vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom.training.face_model.ict_head import IctHead
from facegeom.training.face_model.lid_closing import close_lids
from facegeom.training.face_model.skin_remeshing import FACE, EmbeddedMesh
from facegeom.training.face_model.topology import geodesic_distance


@dataclass(frozen=True)
class IdentityComponents:
    """Principal components of sampled neutral heads."""

    components: FloatArray  # (k, n, 3) mm per sigma, by falling variance
    kept: float  # share of the samples' (weighted) variance in the components


def identity_components(
    head: IctHead,
    mesh: EmbeddedMesh,
    importance: FloatArray,
    *,
    count: int = 100,
    samples: int = 8000,
    seed: int = 0,
) -> IdentityComponents:
    """Return the principal components of neutral heads sampled from ICT's identity space.

    Parameters
    ----------
    head : IctHead
        The source; its identity coefficients are drawn from N(0, 1), independently.
    mesh : EmbeddedMesh
        The face model's vertices on the source.
    importance : (n,) float array
        Weight of each vertex's squared displacement, such as its area; sum free.
    count : int
        How many components to keep.
    samples : int
        How many heads to draw, at least 5,000 for a steady result.
    seed : int
        Of the draw.

    Returns
    -------
    IdentityComponents
        Components in millimetres per standard deviation of the sample.

    Notes
    -----
    Every sample is a combination of the carried modes, so the components of the samples about the
    neutral head come exactly from a QR factorisation of the modes and a singular value
    decomposition of (samples, modes); the (samples, 3n) matrix is never formed.
    """
    modes = mesh.interpolate(head.identity)
    number = len(modes)
    root = np.sqrt(importance / importance.mean())[:, None]
    basis, triangle = np.linalg.qr((modes * root).reshape(number, -1).T)
    draw = np.random.default_rng(seed).standard_normal((samples, number))
    _, value, axes = np.linalg.svd(draw @ triangle.T, full_matrices=False)
    sigma = value / np.sqrt(samples)
    components = (basis @ axes[:count].T).T.reshape(count, -1, 3) / root * sigma[:count, None, None]
    flat = components.reshape(len(components), -1)
    largest = flat[np.arange(len(flat)), np.abs(flat).argmax(axis=1)]
    components *= np.sign(largest)[:, None, None]  # a singular vector's sign is arbitrary
    return IdentityComponents(components, float((sigma[:count] ** 2).sum() / (sigma**2).sum()))


def expression_components(
    head: IctHead, mesh: EmbeddedMesh, mean: FloatArray, regions: dict[str, BoolArray]
) -> FloatArray:
    """Return ICT's expressions on the face model's vertices, (e, n, 3) mm, the blink's slit closed.

    Parameters
    ----------
    head : IctHead
    mesh : EmbeddedMesh
        The face model's vertices on the source.
    mean : (n, 3) float array, mm
    regions : dict of (n,) bool arrays
        With `eyeball_left`, `eye_rims` and `face`.
    """
    expression = mesh.interpolate(head.expression)
    names = head.expression_names
    left = names.index("eyeBlink_L")
    closed = close_lids(
        mean,
        mesh.faces,
        expression[left],
        regions["eyeball_left"],
        geodesic_distance(mean, mesh.faces[mesh.labels == FACE], regions["eye_rims"]),
        regions["eye_rims"] & (mean[:, 0] > 0.0),
    )
    change = closed - expression[left]
    expression[left] = closed
    expression[names.index("eyeBlink_R")] += change[mesh.mirror] * np.array([-1.0, 1.0, 1.0])
    return expression


def vertex_importance(V: FloatArray, mesh: EmbeddedMesh, face_vertices: int) -> FloatArray:
    """Return each vertex's area, mm^2, with what is not the face counted a tenth."""
    corners = V[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.zeros(len(V))
    for corner in range(3):
        np.add.at(area, mesh.faces[:, corner], np.linalg.norm(cross, axis=1) / 6.0)
    area[face_vertices:] *= 0.1
    return area


def quantise(components: FloatArray, step: float) -> NDArray[np.int16]:
    """Return components, (k, n, 3) mm, as multiples of `step`, axis-first (k, 3, n) for packing."""
    levels = np.rint(components / step)
    if np.abs(levels).max() > np.iinfo(np.int16).max:
        raise ValueError(f"step {step} mm is too fine for 16 bits")
    return np.ascontiguousarray(levels.astype(np.int16).transpose(0, 2, 1))
