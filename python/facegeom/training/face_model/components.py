"""Identity and expression components of the face model, computed from the components of the ICT head."""

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
    """Principal components of random neutral heads."""

    components: FloatArray  # (k, n, 3) mm per standard deviation, in order of decreasing variance
    kept: float  # share of the weighted variance of the heads that the components explain


def identity_components(
    head: IctHead,
    mesh: EmbeddedMesh,
    importance: FloatArray,
    *,
    count: int = 100,
    samples: int = 8000,
    seed: int = 0,
) -> IdentityComponents:
    """Return the principal components of random neutral heads of the ICT model.

    Parameters
    ----------
    head : IctHead
        ICT head; its identity coefficients are drawn independently from N(0, 1).
    mesh : EmbeddedMesh
        The mesh of the face model.
    importance : (n,) float array
        Weight of the squared displacement of each vertex, such as the area of the vertex; only the ratios of the
        weights matter.
    count : int
        Number of components.
    samples : int
        Number of random heads; at least 5,000 for a stable result.
    seed : int
        Random seed.

    Returns
    -------
    IdentityComponents

    Notes
    -----
    Each head is a linear combination of the ICT components interpolated on the mesh. Their QR factorisation and a
    singular value decomposition of a (samples, components) matrix give the exact result without the (samples, 3 n)
    matrix of all vertices.
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
    components *= np.sign(largest)[:, None, None]  # the sign of a singular vector is arbitrary
    return IdentityComponents(components, float((sigma[:count] ** 2).sum() / (sigma**2).sum()))


def expression_components(
    head: IctHead, mesh: EmbeddedMesh, mean: FloatArray, regions: dict[str, BoolArray]
) -> FloatArray:
    """Return the expression components of the face model: the ICT expressions, with closed lids in both blinks.

    Parameters
    ----------
    head : IctHead
    mesh : EmbeddedMesh
        The mesh of the face model.
    mean : (n, 3) float array, mm
        Vertices of the mean head.
    regions : dict of str to (n,) bool array
        Vertex masks by name, at least `eyeball_left` and `eye_rims`.

    Returns
    -------
    (e, n, 3) float array, mm at weight 1
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
    """Return the weight of each vertex in the component analysis, (n,): its area in mm^2, times 0.1 outside the face.

    Parameters
    ----------
    V : (n, 3) float array, mm
    mesh : EmbeddedMesh
    face_vertices : int
        Number of vertices of the face, which come first.
    """
    corners = V[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.zeros(len(V))
    for corner in range(3):
        np.add.at(area, mesh.faces[:, corner], np.linalg.norm(cross, axis=1) / 6.0)
    area[face_vertices:] *= 0.1
    return area


def quantise(components: FloatArray, step: float) -> NDArray[np.int16]:
    """Return components as integer multiples of a step, in the axis order that the model file stores.

    Parameters
    ----------
    components : (k, n, 3) float array, mm
    step : float, mm
        Quantisation step.

    Returns
    -------
    (k, 3, n) int16 array

    Raises
    ------
    ValueError
        If a value exceeds the range of 16 bits.
    """
    levels = np.rint(components / step)
    if np.abs(levels).max() > np.iinfo(np.int16).max:
        raise ValueError(f"step is too small for 16-bit integers: {step} mm")
    return np.ascontiguousarray(levels.astype(np.int16).transpose(0, 2, 1))
