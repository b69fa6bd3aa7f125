"""`facegeom prepare texture-model`: learn a Gaussian model of per-vertex colour from photos.

The model is used for synthetic training images only. The colours of visible vertices are sampled in each photo, and
first-order lighting is removed from them. A hidden vertex gets the colour of the mirrored vertex if this vertex is
visible; the remaining colours are treated as missing values in a principal component analysis with a few iterations of
expectation maximisation. The colours at the back of the head, which is not visible in any photo, are extrapolated
smoothly from the hair.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, IntArray
from facegeom._internal.files import write_npz
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.geometry import rasterize
from facegeom.training.data.labels import Labels, add_labelled_photos, find_photos, yaw_deg
from facegeom.training.data.pose import Pose
from facegeom.training.data.renderer import Renderer
from facegeom.training.data.samples import PhotoStore
from facegeom.training.data.split import identity as identity_of
from facegeom.training.data.split import split_names

log = logging.getLogger("facegeom")

TEETH = (222.0, 212.0, 192.0)  # colour of the teeth, RGB in [0, 255]
GUMS = (172.0, 92.0, 90.0)
MOUTH = (112.0, 48.0, 46.0)
SOCKET = (150.0, 95.0, 85.0)
EYE_WHITE = (226.0, 218.0, 214.0)
BACKGROUND_PIXELS = 48  # side length of the square stored backgrounds, pixels


@dataclass(frozen=True)
class TextureModelOptions:
    """Choice of the photos, visibility of vertices, and size of the model."""

    photos: int = 2000  # largest number of photos; more photos change the components little
    photos_per_person: int = 2  # largest number of photos of one person; a few people have hundreds of photos
    max_yaw_deg: float = 50.0  # largest absolute yaw of a photo, degrees
    components: int = 60  # number of principal components
    rounds: int = 4  # number of iterations that estimate missing colours from the components
    facing: float = 0.35  # smallest cosine between normal and viewing direction of a visible vertex
    tolerance_mm: float = 2.5  # largest depth of a visible vertex behind the z-buffer, mm
    least_seen: float = 0.02  # a vertex that a smaller share of the photos shows gets interpolated colours
    backgrounds: int = 400  # number of backgrounds stored for synthetic images: small photos without the head
    seed: int = 0


@dataclass(frozen=True)
class TextureModel:
    """Gaussian model of the colour of every vertex of the face model.

    Attributes
    ----------
    mean : (n, 3) float32 array
        Mean RGB colour in [0, 255].
    components : (k, n, 3) float32 array
        Principal components: change of the RGB colour per standard deviation.
    deviations : (k,) float32 array
        RMS of each component over the vertices.
    backgrounds : (b, B, B, 3) uint8 array
        Small background images without a head.
    """

    mean: Float32Array
    components: Float32Array
    deviations: Float32Array
    backgrounds: np.ndarray

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TextureModel:
        """Read a file that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"there is no texture model at {path}: make one with `facegeom prepare texture-model`"
            )
        with np.load(path) as data:
            mean, components, deviations = (data[k].astype(np.float32) for k in ("mean", "components", "deviations"))
            return cls(mean, components, deviations, data["backgrounds"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the arrays as float16 to one .npz file; after an error there is no incomplete file."""
        arrays = {name: getattr(self, name).astype(np.float16) for name in ("mean", "components", "deviations")}
        write_npz(path, {"backgrounds": self.backgrounds} | arrays)

    def colours(self, coefficients: Float32Array) -> Float32Array:
        """Return the vertex colours of the first j coefficients.

        Parameters
        ----------
        coefficients : (j,) array, j <= k
            Texture coefficients in standard deviations.

        Returns
        -------
        (n, 3) float32 array
            RGB, not clipped to [0, 255].
        """
        flat = self.components.reshape(len(self.components), -1)
        weights = np.asarray(coefficients, np.float32)
        return self.mean + (weights @ flat[: len(weights)]).reshape(self.mean.shape)


class NormalOperator:
    """Operator that computes area-weighted vertex normals of meshes with the same triangles.

    Parameters
    ----------
    faces : (m, 3) int array
    vertex_count : int
        Number of vertices n.
    """

    def __init__(self, faces: IntArray, vertex_count: int) -> None:
        self.faces = np.ascontiguousarray(faces.T)
        m = len(faces)
        columns = np.repeat(np.arange(m), 3)
        ones = np.ones(3 * m, np.float32)
        self.gather = sparse.csr_matrix((ones, (faces.ravel(), columns)), (vertex_count, m))

    def __call__(self, vertices: Float32Array) -> Float32Array:
        """Return (n, 3) float32 unit normals of (n, 3) float32 positions, outward for counter-clockwise triangles."""
        axes = np.ascontiguousarray(vertices.T, dtype=np.float32)  # contiguous per axis: gathering rows is slower
        a = [axis.take(self.faces[0]) for axis in axes]
        ux, uy, uz = (axis.take(self.faces[1]) - start for axis, start in zip(axes, a, strict=True))
        vx, vy, vz = (axis.take(self.faces[2]) - start for axis, start in zip(axes, a, strict=True))
        cross = np.empty((len(ux), 3), np.float32)
        cross[:, 0] = uy * vz - uz * vy
        cross[:, 1] = uz * vx - ux * vz
        cross[:, 2] = ux * vy - uy * vx
        normals: Float32Array = self.gather @ cross
        length = np.sqrt(np.einsum("ij,ij->i", normals, normals))
        return normals / np.maximum(length, 1e-12)[:, None]


def visible_colours(
    photo: ByteArray, pose: Pose, model: FaceModel, normal_operator: NormalOperator, options: TextureModelOptions
) -> tuple[Float32Array, BoolArray, Float32Array]:
    """Sample the colours of a photo at the projected vertices, and determine which vertices are visible.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    pose : Pose
        Fitted face in the photo.
    model : FaceModel
    normal_operator : NormalOperator
        Operator for the triangles of the model.
    options : TextureModelOptions

    Returns
    -------
    colours : (n, 3) float32 array
        RGB in [0, 255]; valid for visible vertices only.
    seen : (n,) bool array
        Visible vertices: inside the photo, facing the camera, and not occluded by another part of the head.
    normals : (n, 3) float32 array
        Unit normals in the camera frame.
    """
    height, width = photo.shape[:2]
    points = pose.pixels()
    normals = normal_operator((pose.vertices @ pose.rotation.T).astype(np.float32))
    raster = rasterize(points, model.faces, None, (height, width))
    x, y = points[:, 0], points[:, 1]
    inside = (x >= 1) & (x <= width - 2) & (y >= 1) & (y <= height - 2)
    column, row = (np.clip(np.rint(v), 0, limit - 1).astype(int) for v, limit in ((x, width), (y, height)))
    front = np.nan_to_num(raster.depth, nan=np.inf)[row, column]
    seen = inside & (points[:, 2] > front - options.tolerance_mm) & (normals[:, 2] > options.facing)
    at = points[:, :2].astype(np.float32)[None]
    colours = cv2.remap(
        photo.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return colours[0], seen, normals


def without_head(photo: ByteArray, pose: Pose, size: int = BACKGROUND_PIXELS) -> ByteArray:
    """Return the background of a photo, (size, size, 3) uint8: the photo reduced in size, with the head inpainted."""
    height, width = photo.shape[:2]
    small = cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA)
    points = pose.pixels()[:, :2] * np.array([size / width, size / height])
    hole = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(hole, cv2.convexHull(points.astype(np.float32)).astype(np.int32), 255)
    return np.asarray(cv2.inpaint(small, cv2.dilate(hole, np.ones((5, 5), np.uint8)), 3, cv2.INPAINT_TELEA))


def remove_light(
    colours: Float32Array, seen: BoolArray, normals: Float32Array, mean: Float32Array, fit_on: BoolArray
) -> Float32Array:
    """Divide vertex colours by the first-order lighting estimated from the mean colours of all faces.

    The brightness ratio of the face to the mean face is fitted by an ambient term plus a term linear in the normal. The
    mean brightness of the colours does not change.

    Parameters
    ----------
    colours : (n, 3) float32 array
    seen : (n,) bool array
        Visible vertices.
    normals : (n, 3) float32 array
        Unit normals in the camera frame.
    mean : (n, 3) float32 array
        Mean colours of all faces.
    fit_on : (n,) bool array
        Vertices on which the lighting is fitted. Hair is excluded, because its colour varies too much.

    Returns
    -------
    (n, 3) float32 array
    """
    rows = np.flatnonzero(seen & fit_on)
    basis = np.column_stack([np.ones(len(colours), np.float32), normals])
    ratio = colours[rows].mean(1) / np.maximum(mean[rows].mean(1), 8)
    weight = np.ones(len(rows), np.float32)
    light = np.zeros(4, np.float32)
    for _ in range(3):
        weighted = basis[rows] * weight[:, None]
        normal = weighted.T @ basis[rows] + np.diag([0, 1, 1, 1]).astype(np.float32) * 0.01 * len(rows)
        light = np.linalg.solve(normal, weighted.T @ ratio)
        weight = 1 / (1 + ((ratio - basis[rows] @ light) / 0.15) ** 2)
    shading = basis @ light
    shading = np.clip(shading / max(float(shading[rows].mean()), 0.1), 0.45, 1.8)
    return np.asarray(colours / shading[:, None], dtype=np.float32)


def principal_colours(
    values: Float32Array, known: BoolArray, count: int, rounds: int
) -> tuple[Float32Array, Float32Array]:
    """Return the principal components of vertex colours with missing values.

    Parameters
    ----------
    values : (s, v, 3) float32 array
        Colours of s faces; missing values are overwritten with estimates.
    known : (s, v) bool array
        True for colours that are not missing.
    count : int
        Number of components.
    rounds : int
        Number of times that missing values are estimated from the components.

    Returns
    -------
    mean : (v, 3) float32 array
    components : (count, v, 3) float32 array
        Principal components: change of the colour per standard deviation.

    Notes
    -----
    Missing values are initialised with the mean of the known values. Each round projects the faces onto the leading
    components (in the first round onto half of the components) and copies the missing values from the projection. The
    components are computed from the (s, s) Gram matrix.
    """
    samples, vertices, _ = values.shape
    weight = known.astype(np.float32)
    start = (values * weight[..., None]).sum(0) / np.maximum(weight.sum(0), 1)[:, None]
    values[~known] = np.broadcast_to(start, values.shape)[~known]
    rows = values.reshape(samples, -1)
    missing = np.repeat(~known, 3, axis=1)
    mean = rows.mean(0)
    components = np.zeros((count, rows.shape[1]), np.float32)
    for turn in range(rounds + 1):
        mean = rows.mean(0)
        centred = rows - mean
        eigenvalues, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
        leading = vectors[:, ::-1][:, :count].astype(np.float32)
        spread = np.sqrt(np.maximum(eigenvalues[::-1][:count], 1e-12) / samples).astype(np.float32)
        axes = leading.T @ centred  # (count, 3v): each row is a unit axis times sqrt(eigenvalue)
        components = axes / np.float32(np.sqrt(samples))
        if turn < rounds:
            used = max(1, count // 2) if turn == 0 else count
            projected = leading[:, :used] @ axes[:used] + mean
            rows[missing] = projected[missing]
        log.info("round %d: standard deviations of the first components: %s", turn, np.round(spread[:4], 0))
    return mean.reshape(vertices, 3), components.reshape(count, vertices, 3)


def extend(values: Float32Array, known: BoolArray, faces: IntArray) -> Float32Array:
    """Interpolate unknown vertex values harmonically (uniform Laplacian) from the known values.

    Parameters
    ----------
    values : (n, c) float array
    known : (n,) bool array
        Vertices with a known value.
    faces : (m, 3) int array

    Returns
    -------
    (n, c) float array
    """
    n = len(values)
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ones = np.ones(len(pairs))
    adjacency = sparse.coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), (n, n)).tocsr()
    adjacency = ((adjacency + adjacency.T) > 0).astype(np.float64)
    laplacian = sparse.diags(np.asarray(adjacency.sum(1)).ravel() + 1e-9) - adjacency
    free = np.flatnonzero(~known)
    out = values.copy()
    if len(free) and known.any():
        right = -laplacian[free][:, np.flatnonzero(known)] @ values[known]
        out[free] = splu(laplacian[free][:, free].tocsc()).solve(np.asarray(right, dtype=np.float64))
    return out


def skin_vertices(model: FaceModel) -> BoolArray:
    """Return the vertices of the outer skin, (n,) bool: all except eyeballs, eye sockets and mouth interior."""
    inner = ("eyeball_left", "eyeball_right", "eye_sockets", "mouth_interior")
    skin = np.ones(len(model.mean), bool)
    for name in inner:
        if name in model.regions:
            skin &= ~model.regions[name]
    return skin


def plain_colours(model: FaceModel) -> Float32Array:
    """Return fixed colours, (n, 3) float32 RGB, of the parts that photos rarely show; 0 on the skin.

    These parts are the teeth, the inside of the mouth, the eye sockets and the eyeballs.
    """
    colours = np.zeros((len(model.mean), 3), np.float32)
    regions = model.regions
    inside = regions["mouth_interior"]
    colours[inside] = MOUTH
    depth = model.mean[inside, 2]
    fade = np.clip((depth - depth.min()) / max(float(np.ptp(depth)), 1e-6), 0, 1)
    colours[inside] *= (0.3 + 0.7 * fade)[:, None].astype(np.float32)
    for name, colour in (("gums_and_tongue", GUMS), ("teeth", TEETH), ("eye_sockets", SOCKET)):
        if name in regions:
            colours[regions[name]] = colour
    for name in ("eyeball_left", "eyeball_right"):
        colours[regions[name]] = EYE_WHITE
    return colours


def choose_photos(labels: Labels, options: TextureModelOptions) -> IntArray:
    """Return the rows of the labels used for learning, (r,) int: training photos of moderate yaw, few per person."""
    split = split_names([str(name) for name in labels.names])
    rows = np.intersect1d(split.training, labels.kept)
    rows = rows[np.abs(yaw_deg(labels.rotation[rows])) <= options.max_yaw_deg]
    taken: dict[str, int] = {}
    chosen = []
    for row in np.random.default_rng(options.seed).permutation(rows):
        person = identity_of(str(labels.names[row]))
        taken[person] = taken.get(person, 0) + 1
        if taken[person] <= options.photos_per_person:
            chosen.append(int(row))
    return np.array(sorted(chosen[: options.photos]), dtype=np.int64)


def build_texture_model(
    model: FaceModel, photos: dict[str, Path], labels: Labels, options: TextureModelOptions = TextureModelOptions()
) -> TextureModel:
    """Learn a texture model from labelled photos.

    Parameters
    ----------
    model : FaceModel
    photos : dict of str to Path
        File name of a photo -> path.
    labels : Labels
        Fits of the photos. Only photos of the training set are used.
    options : TextureModelOptions

    Returns
    -------
    TextureModel

    Raises
    ------
    FacegeomError
        If there are not more usable photos than components.
    """
    check.count(options.components, "components", 1)
    rows = [row for row in choose_photos(labels, options) if str(labels.names[row]) in photos]
    if len(rows) <= options.components:
        raise FacegeomError(
            f"{options.components} components need more photos than that, but only {len(rows)} are usable"
        )
    skin = skin_vertices(model)
    mirror = model.mirror[skin]
    if not skin[: int(skin.sum())].all():
        raise FacegeomError("the skin vertices of the face model must come first")
    renderer, normal_operator = Renderer(model), NormalOperator(model.faces, len(model.mean))
    values = np.zeros((len(rows), int(skin.sum()), 3), np.float32)
    known = np.zeros(values.shape[:2], bool)
    normals = np.zeros(values.shape, np.float16)
    backgrounds = []
    store = PhotoStore(photos, [str(labels.names[row]) for row in rows])
    for i, row in enumerate(tqdm(rows, desc="texture", unit="photo")):
        photo = store[i]
        pose = renderer.pose(labels.fit(int(row)))
        colours, seen, directions = visible_colours(photo, pose, model, normal_operator, options)
        values[i], known[i], normals[i] = colours[skin], seen[skin], directions[skin]
        if i < options.backgrounds:
            backgrounds.append(without_head(photo, pose))

    counts = known.sum(0) + known[:, mirror].sum(0)
    total = (values * known[..., None]).sum(0)
    first_mean = (total + total[mirror]) / np.maximum(counts, 1)[:, None]
    in_face = np.zeros(values.shape[1], bool)
    in_face[: model.face_vertex_count] = True
    for i in range(len(rows)):
        values[i] = remove_light(values[i], known[i], normals[i].astype(np.float32), first_mean, in_face)
        missing = ~known[i] & known[i, mirror]
        values[i, missing] = values[i, mirror[missing]]
    known |= known[:, mirror]

    seen_enough = known.mean(0) >= options.least_seen
    mean, components = principal_colours(
        values[:, seen_enough], known[:, seen_enough], options.components, options.rounds
    )
    table = np.zeros((len(skin), 3 * (len(components) + 1)), np.float32)
    skin_rows = np.flatnonzero(skin)
    table[skin_rows[seen_enough]] = np.concatenate([mean[None], components]).transpose(1, 0, 2).reshape(len(mean), -1)
    on_skin = skin[model.faces].all(1)
    settled = ~skin
    settled[skin_rows[seen_enough]] = True
    table = extend(table, settled, model.faces[on_skin])
    full = table.reshape(len(skin), -1, 3).transpose(1, 0, 2)
    plain = plain_colours(model)
    symmetric = (full[0] + full[0][model.mirror]) / 2
    mean_colours = np.where(skin[:, None], symmetric, plain).astype(np.float32)
    axes = np.where(skin[None, :, None], full[1:], 0).astype(np.float32)
    deviations = np.sqrt((axes[:, skin] ** 2).mean((1, 2)))
    return TextureModel(np.clip(mean_colours, 0, 255), axes, deviations, np.array(backgrounds, np.uint8))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare texture-model` to a parser."""
    defaults = TextureModelOptions()
    add_labelled_photos(parser)
    parser.add_argument(
        "--out", "-o", default="runs/texture_model.npz", help="path of the file to write (default: %(default)s)"
    )
    parser.add_argument(
        "--count", type=int, default=defaults.photos, help="largest number of photos (default: %(default)s)"
    )
    parser.add_argument(
        "--components",
        type=int,
        default=defaults.components,
        help="number of principal components (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Learn a texture model from photos and write it to a file; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = TextureModelOptions(photos=args.count, components=args.components)
    texture = build_texture_model(load_face_model(), find_photos(args.photos), Labels.load(args.labels), options)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    texture.save(args.out)
    log.info("%s: standard deviations of the first components: %s", args.out, np.round(texture.deviations[:8], 1))
    return 0
