"""Hair meshes of MakeHuman's base mesh, brought to the face model (part of `facegeom prepare assets`).

Each vertex of the hair moves by the mean displacement of the nearest points of the scalp, first from MakeHuman's head
to the mean head, then from there to each other head. Colours are left out: only the pattern and the transparency of the
texture are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import similarity
from facegeom.geometry import closest_points, vertex_normals
from facegeom.mesh.obj import read_obj
from facegeom.training.data.texture_model import skin_vertices

NEIGHBOURS = 16  # points of the scalp that move a vertex of the hair
NEAR_MM = 6.0  # distance below which these points count about equally
FOREHEAD_MM = 35.0  # lower limit of the part of the face that moves the hair, above the eyes
LEAST_GAP_MM = 1.5  # least distance of the hair from the head
COVERED_MM = (12.0, 24.0)  # distances of the hair from the scalp at which the scalp has hair colour and skin colour
TEXTURE_PIXELS = 256
MOST_TEXELS_PER_MM = 0.6  # images of 128 pixels show about half a pixel a mm
PATTERN_UNIT = 100  # value of the pattern at which a hair has the mean brightness of its mesh
EVEN_GREY = 12.0  # added to the grey levels, so that black hair has no more contrast than light hair
OPAQUE = 0.5  # alpha from which hair covers the scalp
ORIGINS_MM = np.array([[0, 0, 0], [0, 62, 8], [0, -94, -5]], float)  # the files belong to heads at three heights
AXIS_MM = np.array([0.0, 15.0, -75.0])  # middle of the skull; the axis of the neck leads down from here


@dataclass(frozen=True)
class HairMesh:
    """Hair on the mean head.

    Attributes
    ----------
    V : (v, 3) float32, mm
    N : (v, 3) float32, unit normals, smoothed towards those of the whole hairdo
    F : (m, 3) int64
    uv : (v, 2) float32, texture coordinates, v up
    texture : (256, 256, 2) uint8, brightness (100 for the mean of the mesh) and opacity
    rows : (v, k) int64, vertices of the face model that move each vertex
    weights : (v, k) float32, their shares, which sum to 1
    cover : (n,) uint8, hair on the vertices of the face model, 255 where the scalp is covered
    """

    V: Float32Array
    N: Float32Array
    F: IntArray
    uv: Float32Array
    texture: ByteArray
    rows: IntArray
    weights: Float32Array
    cover: ByteArray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def mirrored(self, model: FaceModel) -> HairMesh:
        """Return the mirror image."""
        flip = np.array([-1, 1, 1], np.float32)
        rows = np.asarray(model.mirror[self.rows], np.int64)
        return HairMesh(
            self.V * flip, self.N * flip, self.F, self.uv, self.texture, rows, self.weights, self.cover[model.mirror]
        )

    def on_head(self, displacement: Float32Array) -> Float32Array:
        """Return the vertices (v, 3) on a head whose vertices are displaced by (n, 3) mm from the mean head."""
        moved = np.einsum("vk,vkc->vc", self.weights, displacement[self.rows])
        return np.asarray(self.V + moved, dtype=np.float32)


def read_hair(path: Path) -> tuple[FloatArray, IntArray, FloatArray, ByteArray]:
    """Read a hair mesh and its texture beside it.

    Returns
    -------
    V : (v, 3) float array, units of the file; one vertex for each pair of position and texture coordinate
    F : (m, 3) int array
    uv : (v, 2) float array
    texture : (256, 256, 2) uint8 array, see `HairMesh`

    Raises
    ------
    FacegeomError
        If the mesh has no texture coordinates, or there is no texture with opacity.
    """
    mesh = read_obj(path.read_bytes(), path)
    if mesh.uv is None:
        raise FacegeomError(f"{path.name} has no texture coordinates")
    uv_faces = mesh.faces if mesh.uv_faces is None else mesh.uv_faces
    corners = np.stack([mesh.faces.ravel(), uv_faces.ravel()], 1)
    pairs, F = np.unique(corners, axis=0, return_inverse=True)
    picture = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
        raise FacegeomError(f"{path.name} needs a texture with opacity beside it: {path.stem}.png, RGBA")
    F, uv = F.reshape(-1, 3), mesh.uv[pairs[:, 1]]
    grey, alpha = _reduced(picture.astype(np.float32))
    used = _sample(alpha, uv[F].mean(1)) > 128
    level = float(np.mean(_sample(grey, uv[F].mean(1))[used])) if used.any() else float(grey.mean())
    texture = np.stack([np.clip(grey / level * PATTERN_UNIT, 0, 255), alpha], 2).astype(np.uint8)
    return mesh.vertices[pairs[:, 0]], F, uv, texture


def _reduced(picture: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return grey levels and opacity, (256, 256) each, of a picture (h, w, 4).

    Transparent pixels get the grey level of the hair beside them, so that edges are neither bright nor dark.
    """
    whole = picture[..., 3]
    size = TEXTURE_PIXELS, TEXTURE_PIXELS
    grey, alpha = (
        np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA), np.float32)
        for layer in ((picture[..., :3].mean(2) + EVEN_GREY) * whole, whole)
    )
    widths = (1, 2, 4)
    spread_grey, spread = (
        layer + 0.01 * sum(np.asarray(cv2.GaussianBlur(layer, (0, 0), width)) for width in widths)
        for layer in (grey, alpha)
    )
    return np.asarray(spread_grey / np.maximum(spread, 1e-3), np.float32), alpha


def _softened(texture: ByteArray, V: FloatArray, F: IntArray, uv: FloatArray) -> ByteArray:
    """Return the texture without detail that is finer than a pixel of a training image; V (v, 3) in mm."""
    sides, flat = (points[F[:, 1:]] - points[F[:, :1]] for points in (V, uv * TEXTURE_PIXELS))
    surface = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum()
    texels = np.abs(flat[:, 0, 0] * flat[:, 1, 1] - flat[:, 0, 1] * flat[:, 1, 0]).sum()
    width = 0.5 * np.sqrt(texels / max(surface, 1e-9)) / MOST_TEXELS_PER_MM
    return np.asarray(cv2.GaussianBlur(texture, (0, 0), width) if width > 1 else texture, np.uint8)


def fit_hair(
    model: FaceModel, registered: FloatArray, V: FloatArray, F: IntArray, uv: FloatArray, texture: ByteArray
) -> HairMesh:
    """Bring hair to the mean head.

    Parameters
    ----------
    model : FaceModel
    registered : (s, 3) float array
        The skin vertices of the face model on the head that the hair belongs to.
    V, F, uv, texture : arrays of `read_hair`, with V in the unit and axes of `registered`
    """
    opaque = _sample(texture[..., 1].astype(np.float32), uv[F].mean(1)) > 255 * OPAQUE
    V = V + _origin(V, F[opaque], registered[np.flatnonzero(model.regions["scalp"])])
    anchors = np.flatnonzero(hair_anchors(model))
    rotation, scale, shift = similarity(registered[anchors], model.mean[anchors])
    V, heads = (scale * points @ rotation.T + shift for points in (V, registered))
    distance, near = cKDTree(heads[anchors]).query(V, NEIGHBOURS)
    weights = 1 / (distance + NEAR_MM) ** 2
    weights /= weights.sum(1, keepdims=True)
    rows = anchors[near]
    V = V + np.einsum("vk,vkc->vc", weights, (model.mean[: len(heads)] - heads)[rows])
    skin = skin_vertices(model)
    V = lifted(V, model.mean, model.faces[skin[model.faces].all(1)])
    return HairMesh(
        V.astype(np.float32),
        _smooth_normals(V, F),
        F[_visible(texture, uv, F)].astype(np.int64),
        uv.astype(np.float32),
        _softened(texture, V, F, uv),
        rows.astype(np.int64),
        weights.astype(np.float32),
        _cover(model, V, F[opaque]),
    )


def _origin(V: FloatArray, F: IntArray, scalp: FloatArray) -> FloatArray:
    """Return that of `ORIGINS_MM` that brings hair nearest to the points of a scalp, (s, 3)."""
    gaps = [float(closest_points(V + origin, F, scalp).distance.mean()) for origin in ORIGINS_MM]
    return np.asarray(ORIGINS_MM[int(np.argmin(gaps))])


def hair_anchors(model: FaceModel) -> BoolArray:
    """Return the vertices that move hair, (n,) bool: the scalp, and the upper forehead."""
    forehead = skin_vertices(model) & (model.mean[:, 1] > FOREHEAD_MM)
    return np.asarray(model.regions.get("scalp", forehead) | forehead)


def lifted(V: FloatArray, head: FloatArray, F: IntArray, gap: float = LEAST_GAP_MM) -> FloatArray:
    """Return points (v, 3) with those raised along the normal that are inside the head, or nearer than `gap` mm."""
    found = closest_points(head, F, V)
    corners = head[F[found.face]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    place = (corners * found.weights[..., None]).sum(1)
    height = ((V - place) * normal).sum(1)
    low = (height < gap) & (found.distance < 25)
    return np.where(low[:, None], V + normal * np.maximum(gap - height, 0)[:, None], V)


def _visible(texture: ByteArray, uv: FloatArray, F: IntArray) -> BoolArray:
    """Return the triangles (m,) that are not transparent everywhere."""
    steps = np.array([(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)]) / 4
    alpha = cv2.dilate(texture[..., 1], np.ones((3, 3), np.uint8)).astype(np.float32)
    inside = np.einsum("sk,mkc->msc", steps, uv[F])
    return np.asarray(_sample(alpha, inside.reshape(-1, 2)).reshape(len(F), -1).max(1) > 25)


def _cover(model: FaceModel, V: FloatArray, F: IntArray) -> ByteArray:
    """Return how much of each vertex of the scalp hair covers, (n,) uint8."""
    cover = np.zeros(len(model.mean), np.uint8)
    scalp = np.flatnonzero(model.regions.get("scalp", np.zeros(len(model.mean), bool)))
    if len(F) and len(scalp):
        near, far = COVERED_MM
        away = closest_points(V, F, model.mean[scalp]).distance
        cover[scalp] = np.clip(255 * (far - away) / (far - near), 0, 255)
    return cover


def _smooth_normals(V: FloatArray, F: IntArray) -> Float32Array:
    """Return unit normals (v, 3), the mean of those of the strips and the direction away from the head."""
    outward = V - AXIS_MM
    outward[:, 1] = np.maximum(outward[:, 1], 0)  # below the skull: away from the axis of the neck
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    welded, same = np.unique(np.round(V, 3), axis=0, return_inverse=True)
    own = vertex_normals(welded, same.reshape(-1)[F])[same.reshape(-1)]
    own = own * np.where((own * outward).sum(1) < 0, -1.0, 1.0)[:, None]
    mean = own + outward
    return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def _sample(picture: FloatArray | Float32Array, uv: FloatArray) -> FloatArray:
    """Return the values of a picture (h, w) at texture coordinates (q, 2), nearest pixel; the picture repeats."""
    height, width = picture.shape
    column = np.floor(uv[:, 0] * width).astype(int) % width
    row = np.floor((1 - uv[:, 1]) * height).astype(int) % height
    return np.asarray(picture[row, column], dtype=np.float64)
