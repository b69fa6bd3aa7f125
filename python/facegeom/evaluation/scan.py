"""A head scan for the depth benchmark: loading, transformation to the face frame, and renders with several yaws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.evaluation.scan_description import find_description, read_description
from facegeom.geometry import nearest, rasterize
from facegeom.images.camera import Camera
from facegeom.images.image_files import load_image

SCORED_RADIUS_MM = 90.0
"""Largest distance of a scored point from the tip of the nose.

It was chosen on the scan of Lee Perry-Smith: neither the ears (at least 137 mm from the tip of the nose) nor the hair
are scored.
"""

ON_MESH_MM = 8.0
"""Largest distance of the described tip of the nose from the mesh, mm."""

BELOW_CHIN_MM = 6.0
"""Largest distance of a scored point below the chin, mm; this limit excludes the neck."""

FIELD_MM = 330.0
"""Side length of the square region that a render shows, mm: head and neck."""

OVERSAMPLING = 2
"""Factor by which images are rendered larger, then averaged down, for anti-aliasing."""


@dataclass(frozen=True)
class Scan:
    """A textured head scan in the face frame.

    Attributes
    ----------
    vertices : (n, 3) float array, mm; the origin is midway between the eye centres
    faces : (m, 3) int array
    uv : (m, 3, 2) float array, texture coordinates of the corners of each triangle, v up
    texture : (h, w, 3) uint8 array, RGB
    scorable : (n,) bool array, vertices in the region where depth is evaluated, see `scorable`
    nose_tip, chin : (3,) float arrays, mm
    """

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray
    texture: ByteArray
    scorable: BoolArray
    nose_tip: FloatArray
    chin: FloatArray


@dataclass(frozen=True)
class ScanRender:
    """A render of the scan.

    Attributes
    ----------
    image : (size, size, 3) uint8 array, RGB
    depth : (size, size) float array, mm in the camera frame, NaN outside the scan
    scored : (size, size) bool array, pixels where depth is evaluated
    camera : Camera, frame of the scan to pixels
    yaw : yaw of the head in degrees, positive if the nose points to the right of the image
    background : a key of `BACKGROUNDS`
    """

    image: ByteArray
    depth: FloatArray
    scored: BoolArray
    camera: Camera
    yaw: float
    background: str


def load_scan(folder: str | Path, description: str | Path | None = None) -> Scan:
    """Read a scan and transform it to the face frame.

    Parameters
    ----------
    folder : folder that contains the mesh, its texture, and `scan.json` unless `description` is given
    description : see `find_description`

    Returns
    -------
    Scan

    Raises
    ------
    FacegeomError
        If a file does not exist, if the description is wrong or does not belong to the mesh, or if the mesh has no
        texture coordinates.
    """
    path = find_description(folder, description)
    described = read_description(path)
    mesh, picture = Path(folder) / described.mesh, Path(folder) / described.texture
    for file in (mesh, picture):
        if not file.is_file():
            raise FacegeomError(f"{file} does not exist: {path.name} names it")
    points, uv, faces, uv_faces = _read_obj(mesh)
    vertices = described.in_face_frame(points)
    nose_tip, chin = described.in_face_frame(np.stack([described.nose_tip, described.chin]))
    distance = float(nearest(vertices, nose_tip[None])[1][0])
    if distance > ON_MESH_MM:
        raise FacegeomError(f"{path.name}: the tip of the nose is {distance:.0f} mm from the mesh, is it another mesh?")
    corners = uv[uv_faces]
    if described.texture_v == "down":
        corners[..., 1] = 1.0 - corners[..., 1]
    return Scan(
        vertices, faces, corners, load_image(picture), scorable(vertices, nose_tip, float(chin[1])), nose_tip, chin
    )


def scorable(points: FloatArray, nose_tip: FloatArray, chin_y: float) -> BoolArray:
    """Return which points lie in the region where depth is evaluated.

    Parameters
    ----------
    points : (..., 3) float array, mm, face frame
    nose_tip : (3,) float array, mm
    chin_y : y of the chin, mm

    Returns
    -------
    (...) bool array
        True for points at most `SCORED_RADIUS_MM` from the tip of the nose and at most `BELOW_CHIN_MM` below the chin.
    """
    near = np.linalg.norm(points - nose_tip, axis=-1) <= SCORED_RADIUS_MM
    return np.asarray(near & (points[..., 1] >= chin_y - BELOW_CHIN_MM))


def render_view(scan: Scan, yaw: float, size: int, background: str) -> ScanRender:
    """Render the scan orthographically, with its texture and without lighting.

    Parameters
    ----------
    scan : Scan
    yaw : rotation about the vertical axis in degrees, positive if the nose points to the right of the image
    size : side length of the square image, pixels; the image shows `FIELD_MM`
    background : a key of `BACKGROUNDS`

    Returns
    -------
    ScanRender
        A pixel is scored if it shows a `scorable` point on a triangle that faces the camera.
    """
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    scale = size / FIELD_MM
    middle = scale * turn @ np.array([0.0, -30.0, -40.0])  # near the middle of the front half of the head
    centre = 0.5 * (size - 1)
    camera = Camera(turn, scale, np.array([centre - middle[0], centre + middle[1]]))
    placed = np.column_stack([camera.project(scan.vertices), camera.view(scan.vertices)[:, 2]])

    raster = rasterize(placed, scan.faces, scan.vertices, (size, size))
    seen = raster.triangle >= 0
    corners = placed[scan.faces[raster.triangle]]
    edges = corners[..., 1:, :2] - corners[..., :1, :2]
    # Sign of the area in the image: y points down, so triangles that face the camera are clockwise in (x, y).
    facing = edges[..., 0, 1] * edges[..., 1, 0] > edges[..., 0, 0] * edges[..., 1, 1]
    scored = seen & facing & scorable(np.nan_to_num(raster.attributes), scan.nose_tip, float(scan.chin[1]))
    return ScanRender(
        _colors(scan, placed, size, BACKGROUNDS[background](size)), raster.depth, scored, camera, yaw, background
    )


def plain_background(size: int) -> ByteArray:
    """Return a uniform gray background, (size, size, 3) uint8 array."""
    return np.full((size, size, 3), 128, np.uint8)


def cluttered_background(size: int) -> ByteArray:
    """Return a background of overlapping coloured shapes, slightly blurred; every call gives the same one."""
    rng = np.random.default_rng(7)
    ramp = np.linspace(0, 1, size)[:, None, None]
    image = (ramp * rng.uniform(60, 220, 3) + (1 - ramp) * rng.uniform(60, 220, 3)) * np.ones((1, size, 1))
    image = np.ascontiguousarray(image, dtype=np.float32)
    for _ in range(90):
        color = tuple(float(c) for c in rng.uniform(15, 240, 3))
        x, y = (int(v) for v in rng.integers(0, size, 2))
        reach = int(rng.integers(size // 40 + 1, size // 6 + 2))
        kind = rng.integers(0, 3)
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + reach, y + int(rng.integers(3, 2 * reach))), color, -1)
        elif kind == 1:
            cv2.ellipse(image, (x, y), (reach, reach // 2 + 1), float(rng.uniform(0, 180)), 0, 360, color, -1)
        else:
            cv2.line(image, (x, y), tuple(int(v) for v in rng.integers(0, size, 2)), color, int(rng.integers(1, 6)))
    blurred = cv2.GaussianBlur(image, (0, 0), size / 300)
    noise = rng.normal(0, 5, image.shape)
    return np.clip(blurred + noise, 0, 255).astype(np.uint8)


BACKGROUNDS = {"plain": plain_background, "clutter": cluttered_background}


def _colors(scan: Scan, placed: FloatArray, size: int, background: ByteArray) -> ByteArray:
    """Return the anti-aliased image of the textured head in front of `background`, (size, size, 3) uint8."""
    k = OVERSAMPLING
    fine = np.column_stack([placed[:, :2] * k + 0.5 * (k - 1), placed[:, 2]])[scan.faces].reshape(-1, 3)
    corners = np.arange(len(fine)).reshape(-1, 3)  # triangles share no vertices, because the texture has seams
    raster = rasterize(fine, corners, scan.uv.reshape(-1, 2), (size * k, size * k))
    uv = np.nan_to_num(raster.attributes)
    height, width = scan.texture.shape[:2]
    x = (uv[..., 0] * width - 0.5).astype(np.float32)
    y = ((1 - uv[..., 1]) * height - 0.5).astype(np.float32)
    head = cv2.remap(scan.texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    behind = cv2.resize(background, (size * k, size * k), interpolation=cv2.INTER_LINEAR)
    picture = np.where((raster.triangle >= 0)[..., None], head, behind)
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _read_obj(path: Path) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Read a Wavefront OBJ file with texture coordinates; polygons are split into triangle fans.

    Returns
    -------
    vertices : (n, 3) float array
    uv : (t, 2) float array
    faces : (m, 3) int array, indices of vertices
    uv_faces : (m, 3) int array, indices of texture coordinates

    Raises
    ------
    FacegeomError
        If the file contains no triangles, or a corner without texture coordinates or with a wrong index.
    """
    points: list[list[float]] = []
    uv: list[list[float]] = []
    faces: list[list[list[int]]] = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            points.append([float(word) for word in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(word) for word in words[1:3]])
        elif words[0] == "f":
            corners = [[int(index) - 1 for index in word.split("/")[:2] if index] for word in words[1:]]
            if any(len(corner) != 2 for corner in corners):
                raise FacegeomError(f"{path} has corners without texture coordinates")
            faces.extend([corners[0], corners[i], corners[i + 1]] for i in range(1, len(corners) - 1))
    if not faces:
        raise FacegeomError(f"{path} contains no triangles")
    both = np.array(faces, dtype=np.int64)
    if (both < 0).any() or (both >= (len(points), len(uv))).any():
        raise FacegeomError(f"{path} has a corner whose index is out of range (negative indices are not supported)")
    return np.array(points), np.array(uv), both[..., 0].copy(), both[..., 1].copy()
