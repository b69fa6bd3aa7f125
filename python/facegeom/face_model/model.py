"""The statistical face model: one topology, a mean, identity and expression components."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray, IntArray
from facegeom._internal.threads import load_once, one_thread
from facegeom.errors import WeightsError

_Scalar = TypeVar("_Scalar", bound=np.generic)

MODEL_FILE = Path(__file__).with_name("face_model.npz")
"""The file of the face model that is part of the package."""


@dataclass(frozen=True, eq=False)
class FaceModel:
    """A linear model of the head, in millimetres in the face frame.

    The axes are right-handed: +x to the subject's left, +y up, +z out of the face. The origin is midway between the eye
    centres of the mean, which are 63 mm apart. The vertices are in the order face part, rest of the head, left eyeball,
    right eyeball, mouth interior (socket, teeth, gums and tongue), eye sockets; the triangles are in the same order.
    The skin has openings at the eyes and the mouth; the sockets close these openings from behind.

    Attributes
    ----------
    mean : (n, 3) float array, mm, vertices of the mean head
    identity : (k, n, 3) float32 array, mm per standard deviation
    expression : (e, n, 3) float32 array, mm at weight 1
    faces : (m, 3) int array, counter-clockwise from outside
    uv : (p, 2) float array in [0, 1], texture coordinates, u to the right and v up
    uv_faces : (m, 3) int array, rows of `uv`
    landmarks68 : (68,) int array
        Vertex indices of the 68 landmarks as AFLW2000-3D annotates them.
    landmarks68_multipie : (68,) int array
        Vertex indices of the 68 landmarks by their Multi-PIE definition.
    landmarks468_triangles, landmarks468_barycentric : (468, 3) arrays
        Vertex indices of the triangles, and barycentric coordinates in them, of the 468 FaceMesh points.
    regions : dict of (n,) bool arrays
        Vertex masks by name; `map` is the part that depth maps contain: the skin without scalp, ears, neck and the
        underside of the jaw.
    expression_names : tuple of str, names of the e expressions
    mirror : (n,) int array
        The mirror vertex of each vertex: `mean[mirror] * (-1, 1, 1) == mean`.
    face_vertex_count, face_triangle_count : int
        Number of vertices and of triangles of the face part, which come first.
    """

    mean: FloatArray
    identity: Float32Array
    expression: Float32Array
    faces: IntArray
    uv: FloatArray
    uv_faces: IntArray
    landmarks68: IntArray
    landmarks68_multipie: IntArray
    landmarks468_triangles: IntArray
    landmarks468_barycentric: FloatArray
    regions: dict[str, BoolArray] = field(repr=False)
    expression_names: tuple[str, ...]
    mirror: IntArray
    face_vertex_count: int
    face_triangle_count: int

    @one_thread()
    def vertices(
        self,
        identity: NDArray[np.floating] | None = None,
        expression: NDArray[np.floating] | None = None,
    ) -> FloatArray:
        """Return the head with the given coefficients, mm in the face frame.

        Parameters
        ----------
        identity : (j,) float array, optional
            Coefficients of the first j <= k identity components, in standard deviations.
        expression : (j,) float array, optional
            Weights of the first j <= e expressions, usually in [0, 1].

        Returns
        -------
        (n, 3) float array
            Vertices of the head, mm in the face frame.

        Raises
        ------
        ValueError
            If there are more coefficients than components.

        Examples
        --------
        >>> model = load_face_model()
        >>> weights = [name == "jawOpen" for name in model.expression_names]
        >>> model.vertices(expression=np.array(weights, dtype=float)).shape == model.mean.shape
        True
        """
        result = self.mean.copy()
        for name, coefficients, components in (
            ("identity", identity, self.identity),
            ("expression", expression, self.expression),
        ):
            if coefficients is not None:
                result += _combine(name, coefficients, components)
        return result

    def landmarks468(self, vertices: FloatArray) -> FloatArray:
        """Return the 468 FaceMesh points (468, 3) of a head with the vertices (n, 3) of this model."""
        corners = vertices[self.landmarks468_triangles]
        return np.asarray(np.einsum("pcd,pc->pd", corners, self.landmarks468_barycentric), np.float64)


def _combine(name: str, coefficients: NDArray[np.floating], components: Float32Array) -> Float32Array:
    weights = np.asarray(coefficients, dtype=np.float32)
    if weights.ndim != 1 or len(weights) > len(components):
        raise ValueError(
            f"{name} must be one-dimensional with at most {len(components)} coefficients, got shape {weights.shape}"
        )
    flat = components.reshape(len(components), -1)
    return np.asarray((weights @ flat[: len(weights)]).reshape(components.shape[1:]))


@load_once(maxsize=1)
def load_face_model() -> FaceModel:
    """Return the face model of the package; the file is read once, and the arrays are read-only.

    Returns
    -------
    FaceModel
        The same object at every call.

    Raises
    ------
    WeightsError
        If the file of the face model is missing in the package.
    """
    return read_face_model(MODEL_FILE)


def read_face_model(path: str | Path) -> FaceModel:
    """Read a face model written by `facegeom.training.face_model.build_face_model.build_face_model`.

    Parameters
    ----------
    path : str or Path
        The `.npz` file.

    Returns
    -------
    FaceModel
        The face model; its arrays are read-only.

    Raises
    ------
    WeightsError
        If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"there is no face model at {path}")
    with np.load(path) as data:
        return FaceModel(
            mean=_frozen(data["mean"], np.float64),
            identity=_expanded(data["identity"], float(data["identity_step"])),
            expression=_expanded(data["expression"], float(data["expression_step"])),
            faces=_frozen(data["faces"], np.int64),
            uv=_frozen(data["uv"], np.float64),
            uv_faces=_frozen(data["uv_faces"], np.int64),
            landmarks68=_frozen(data["landmarks68"], np.int64),
            landmarks68_multipie=_frozen(data["landmarks68_multipie"], np.int64),
            landmarks468_triangles=_frozen(data["landmarks468_triangles"], np.int64),
            landmarks468_barycentric=_frozen(data["landmarks468_barycentric"], np.float64),
            regions={
                str(name): _frozen(mask, np.bool_)
                for name, mask in zip(data["region_names"], data["regions"], strict=True)
            },
            expression_names=tuple(str(name) for name in data["expression_names"]),
            mirror=_frozen(data["mirror"], np.int64),
            face_vertex_count=int(data["face_vertex_count"]),
            face_triangle_count=int(data["face_triangle_count"]),
        )


def _frozen(array: NDArray[np.generic], dtype: type[_Scalar]) -> NDArray[_Scalar]:
    result = np.ascontiguousarray(array, dtype=dtype)
    result.flags.writeable = False
    return result


def _expanded(levels: NDArray[np.int16], step: float) -> Float32Array:
    """Return components (k, n, 3), mm, from the stored integers (k, 3, n), which are multiples of `step` mm."""
    values = np.empty((levels.shape[0], levels.shape[2], 3), dtype=np.float32)
    np.multiply(levels.transpose(0, 2, 1), np.float32(step), out=values)
    values.flags.writeable = False
    return values
