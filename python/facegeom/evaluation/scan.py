"""The head scan of the depth benchmark: loading, transformation to the face frame, and renders with several yaws.

The constants belong to the scan "Infinite" by Lee Perry-Smith (www.triplegangers.com, CC-BY 3.0). They were measured
once on renders of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.geometry import rasterize
from facegeom.images.camera import Camera
from facegeom.images.image_files import load_image

FILE_UNIT_MM = 10.0
"""Millimetres per unit of the OBJ file (centimetres). The scan has real size: the eye centres are 65.9 mm apart."""

EYE_CENTRES = ((3.267, -0.402, 0.693), (-3.318, -0.408, 0.773))
"""Centre of the left and of the right eyeball, file unit: least-squares spheres fitted to the closed eyelids."""

NOSE_TIP = (0.079, -3.452, 5.080)
"""Tip of the nose, the vertex with the largest z, file unit."""

CHIN_Y = -11.4
"""y of the lowest point of the chin (menton), file unit: where the midline profile turns more than 45 degrees back."""

SCORED_RADIUS_MM = 90.0
"""Largest distance of a scored point from the tip of the nose.

In the frame of the file, the points within this distance have |x| up to 63 mm, y up to 48 mm and z down to -32 mm.
Therefore neither the ears (at least 137 mm from the tip of the nose) nor the shaved hair are scored: the hair has y
above 70 mm. At the temples it has y above 35 mm and |x| above 55 mm, which is too far from the tip of the nose.
"""

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
    nose_tip : (3,) float array, mm
    """

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray
    texture: ByteArray
    scorable: BoolArray
    nose_tip: FloatArray


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


def load_scan(folder: str | Path) -> Scan:
    """Read the scan and transform it to the face frame.

    Parameters
    ----------
    folder : folder that contains `head.obj` and `color.jpg`

    Returns
    -------
    Scan

    Raises
    ------
    FacegeomError
        If a file does not exist.
    """
    path = Path(folder) / "head.obj"
    if not path.is_file():
        raise FacegeomError(f"{path} does not exist: the folder must contain head.obj and color.jpg")
    points, uv, faces, uv_faces = _read_obj(path)
    eyes = np.array(EYE_CENTRES)
    origin = eyes.mean(axis=0)
    vertices = (points - origin) * FILE_UNIT_MM
    nose_tip = (np.array(NOSE_TIP) - origin) * FILE_UNIT_MM
    return Scan(
        vertices,
        faces,
        uv[uv_faces],
        load_image(Path(folder) / "color.jpg"),
        scorable(vertices, nose_tip),
        nose_tip,
    )


def scorable(points: FloatArray, nose_tip: FloatArray) -> BoolArray:
    """Return which points lie in the region where depth is evaluated.

    Parameters
    ----------
    points : (..., 3) float array, mm, frame of the scan
    nose_tip : (3,) float array, mm

    Returns
    -------
    (...) bool array
        True for points at most `SCORED_RADIUS_MM` from the tip of the nose and at most `BELOW_CHIN_MM` below the chin.
    """
    floor = (CHIN_Y - np.array(EYE_CENTRES)[:, 1].mean()) * FILE_UNIT_MM - BELOW_CHIN_MM
    near = np.linalg.norm(points - nose_tip, axis=-1) <= SCORED_RADIUS_MM
    return np.asarray(near & (points[..., 1] >= floor))


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
    scored = seen & facing & scorable(np.nan_to_num(raster.attributes), scan.nose_tip)
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
            corners = [[int(index) - 1 for index in word.split("/")[:2]] for word in words[1:]]
            faces.extend([corners[0], corners[i], corners[i + 1]] for i in range(1, len(corners) - 1))
    both = np.array(faces, dtype=np.int64)
    return np.array(points), np.array(uv), both[..., 0].copy(), both[..., 1].copy()
