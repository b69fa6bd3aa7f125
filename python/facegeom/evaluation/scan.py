"""A head scan as the truth of the depth benchmark: read, placed in the face's frame, and rendered turned.

The constants below belong to the scan "Infinite" of Lee Perry-Smith (www.triplegangers.com, CC-BY 3.0); they were read
off its renders once.
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
"""The file is in centimetres, true to size: its eyeball centres are 65.9 mm apart."""

EYE_CENTRES = ((3.267, -0.402, 0.693), (-3.318, -0.408, 0.773))
"""Left and right eyeball centre, file unit: centres of the spheres that fit the closed lids' bulge best."""

NOSE_TIP = (0.079, -3.452, 5.080)
"""The foremost vertex, file unit."""

CHIN_Y = -11.4
"""Height of the chin's lowest point (menton), file unit: there the midline's profile turns under, past 45 degrees."""

SCORED_RADIUS_MM = 90.0
"""Scored points lie within this distance of the nose tip.

On this scan the ball reaches |x| = 63 mm, 48 mm above the file's origin and back to z = -32 mm: the ears are 137 mm and
more from the nose tip, and the shaved hair begins 70 mm above the origin (35 mm at the temples, where |x| > 55 mm and
the ball has ended). No further limit is needed for them.
"""

BELOW_CHIN_MM = 6.0
"""Scored points are at most this far below the chin, which with the ball leaves out the neck."""

FIELD_MM = 330.0
"""Width and height of the rendered photo at the scan: head and neck."""

OVERSAMPLING = 2
"""Renders are made at this multiple of their size and averaged, against jagged edges."""


@dataclass(frozen=True)
class Scan:
    """A textured head scan in the face's own frame.

    Attributes
    ----------
    vertices : (n, 3) float array, mm, origin midway between the eye centres
    faces : (m, 3) int array
    uv : (m, 3, 2) float array, texture coordinates of each triangle's corners, v up
    texture : (h, w, 3) uint8 array, RGB
    scorable : (n,) bool array, near enough to the nose tip and high enough above the neck
    nose_tip : (3,) float array, mm
    """

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray
    texture: ByteArray
    scorable: BoolArray
    nose_tip: FloatArray


@dataclass(frozen=True)
class View:
    """A render of the scan.

    Attributes
    ----------
    image : (size, size, 3) uint8 array, RGB
    depth : (size, size) float array, mm in the camera frame, NaN outside the scan
    scored : (size, size) bool array
    camera : of the scan's frame
    yaw : degrees, positive when the nose points to the right of the image
    background : name
    """

    image: ByteArray
    depth: FloatArray
    scored: BoolArray
    camera: Camera
    yaw: float
    background: str


def load_scan(folder: str | Path) -> Scan:
    """Read `head.obj` and `color.jpg` of the scan's folder and move the head into the face's frame.

    Parameters
    ----------
    folder : of the scan

    Returns
    -------
    Scan

    Raises
    ------
    FacegeomError
        When a file is missing.
    """
    path = Path(folder) / "head.obj"
    if not path.is_file():
        raise FacegeomError(f"{path} is not there: the folder must hold head.obj and color.jpg")
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
    """Return which (..., 3) points of the scan's frame, mm, may be scored where they are seen."""
    floor = (CHIN_Y - np.array(EYE_CENTRES)[:, 1].mean()) * FILE_UNIT_MM - BELOW_CHIN_MM
    near = np.linalg.norm(points - nose_tip, axis=-1) <= SCORED_RADIUS_MM
    return np.asarray(near & (points[..., 1] >= floor))


def render_view(scan: Scan, yaw: float, size: int, background: str) -> View:
    """Render the scan orthographically with its texture as its only shading.

    Parameters
    ----------
    scan : Scan
    yaw : degrees about the vertical axis, positive: the nose points to the right of the image
    size : of the image, pixels; `FIELD_MM` fill it
    background : a name of `BACKGROUNDS`

    Returns
    -------
    View
        Scored are the pixels that see a `scorable` point whose triangle faces the camera.
    """
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    scale = size / FIELD_MM
    middle = scale * turn @ np.array([0.0, -30.0, -40.0])  # about the middle of the head's front half
    centre = 0.5 * (size - 1)
    camera = Camera(turn, scale, np.array([centre - middle[0], centre + middle[1]]))
    placed = np.column_stack([camera.project(scan.vertices), camera.view(scan.vertices)[:, 2]])

    raster = rasterize(placed, scan.faces, scan.vertices, (size, size))
    seen = raster.triangle >= 0
    corners = placed[scan.faces[raster.triangle]]
    edges = corners[..., 1:, :2] - corners[..., :1, :2]
    facing = edges[..., 0, 1] * edges[..., 1, 0] > edges[..., 0, 0] * edges[..., 1, 1]  # y down: seen from outside
    scored = seen & facing & scorable(np.nan_to_num(raster.attributes), scan.nose_tip)
    return View(
        _colors(scan, placed, size, BACKGROUNDS[background](size)), raster.depth, scored, camera, yaw, background
    )


def plain_background(size: int) -> ByteArray:
    """Return a uniform gray background."""
    return np.full((size, size, 3), 128, np.uint8)


def cluttered_background(size: int) -> ByteArray:
    """Return a background of overlapping coloured shapes, slightly out of focus, the same at every call."""
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
    """Return the textured head over `background`, anti-aliased."""
    k = OVERSAMPLING
    fine = np.column_stack([placed[:, :2] * k + 0.5 * (k - 1), placed[:, 2]])[scan.faces].reshape(-1, 3)
    corners = np.arange(len(fine)).reshape(-1, 3)  # a corner of its own for each triangle: the texture has cuts
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
    """Return vertices, texture coordinates, triangles and their texture triangles; polygons are cut into fans."""
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
