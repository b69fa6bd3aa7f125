"""Pictures of the face model: mean head, first identity components, expressions, regions and atlas."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.face_model.model import FaceModel
from facegeom.geometry import rasterize

_SIZE = 320  # side length of each square picture, pixels
_FRAME = ((0.0, -30.0, -60.0), 330.0)  # centre and height of the visible area, mm
_NEAR = ((0.0, -35.0, 0.0), 200.0)  # centre and height of the area that shows the face only, mm
_LIGHT = np.array([0.22, 0.45, 0.87])  # direction towards the light
_SKIN = (216.0, 186.0, 166.0)
_COLOURS = {
    "scalp": (120, 160, 200),
    "neck": (200, 200, 120),
    "ear_left": (240, 110, 110),
    "ear_right": (110, 220, 110),
    "lips": (220, 80, 80),
    "eyelids_left": (80, 120, 230),
    "eyelids_right": (80, 220, 130),
    "brow_left": (140, 100, 60),
    "brow_right": (90, 70, 50),
    "nose": (70, 200, 200),
    "mouth_interior": (150, 60, 70),
    "gums_and_tongue": (220, 110, 120),
    "teeth": (250, 248, 240),
    "eyeball_left": (245, 245, 245),
    "eyeball_right": (245, 245, 245),
    "eye_sockets": (190, 130, 120),
}
FIGURES = ("neutral", "identity", "expressions", "regions", "atlas")
"""Names of the pictures that `draw_face_model` writes."""

_INSIDE = ("mouth_interior", "gums_and_tongue", "teeth", "eyeball_left", "eyeball_right", "eye_sockets")
_EXPRESSIONS = (
    {"jawOpen": 0.8},
    {"mouthSmile_L": 0.9, "mouthSmile_R": 0.9, "cheekSquint_L": 0.6, "cheekSquint_R": 0.6},
    {"mouthFrown_L": 1.0, "mouthFrown_R": 1.0, "browInnerUp_L": 0.8, "browInnerUp_R": 0.8},
    {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0},
    {"browDown_L": 1.0, "browDown_R": 1.0, "noseSneer_L": 0.8, "noseSneer_R": 0.8},
    {"mouthPucker": 1.0},
    {"mouthFunnel": 1.0, "jawOpen": 0.2},
    {"eyeWide_L": 1.0, "eyeWide_R": 1.0, "browOuterUp_L": 1.0, "browOuterUp_R": 1.0, "jawOpen": 0.5},
    {"mouthLeft": 0.8, "eyeLookOut_L": 1.0, "eyeLookIn_R": 1.0},
    {"mouthUpperUp_L": 1.0, "mouthUpperUp_R": 1.0, "mouthLowerDown_L": 1.0, "mouthLowerDown_R": 1.0},
)


def draw_face_model(model: FaceModel, folder: Path) -> list[Path]:
    """Write pictures of a face model: neutral.png, identity.png, expressions.png, regions.png and atlas.png.

    Parameters
    ----------
    model : FaceModel
    folder : Path
        Folder for the pictures; created if it does not exist.

    Returns
    -------
    list of Path
        Paths of the written files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    skin, named = _vertex_colours(model, _INSIDE), _vertex_colours(model, tuple(_COLOURS))
    neutral = [shaded(model, model.mean, skin, yaw=yaw) for yaw in (0.0, 40.0, 90.0, 180.0)]
    sheets = (
        np.vstack([np.hstack(neutral), _wires(model)]),
        _identity_sheet(model, skin),
        _expression_sheet(model, skin),
        np.hstack([shaded(model, model.mean, named, yaw=yaw) for yaw in (0.0, 45.0, 90.0)]),
        atlas_picture(model, 1024),
    )
    written = []
    for name, picture in zip(FIGURES, sheets, strict=True):
        path = folder / f"{name}.png"
        cv2.imwrite(str(path), np.ascontiguousarray(picture[..., ::-1]))
        written.append(path)
    return written


def shaded(
    model: FaceModel,
    V: FloatArray,
    colours: FloatArray,
    *,
    yaw: float = 0.0,
    frame: tuple[tuple[float, float, float], float] = _FRAME,
    size: int = _SIZE,
) -> ByteArray:
    """Return a shaded picture of the head.

    Parameters
    ----------
    model : FaceModel
    V : (n, 3) float array, mm
    colours : (n, 3) float array
        Vertex colours, RGB in [0, 255].
    yaw : float
        Rotation of the head in degrees; positive if the nose turns to the right in the picture.
    frame : tuple
        Centre and height of the visible area, mm.
    size : int
        Side length of the square picture in pixels.

    Returns
    -------
    (size, size, 3) uint8 array, RGB
    """
    y = np.radians(yaw)
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    P = (V - np.array(frame[0])) @ turn.T
    T = P[model.faces]
    cross = np.cross(T[:, 1] - T[:, 0], T[:, 2] - T[:, 0])
    normal = np.zeros_like(P)
    for corner in range(3):
        np.add.at(normal, model.faces[:, corner], cross)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    light = 0.35 + 0.65 * np.clip(normal @ _LIGHT, 0.0, 1.0)
    fine = 2 * size
    scale = fine / frame[1]
    pixel = P * (scale, -scale, scale) + (0.5 * fine, 0.5 * fine, 0.0)
    colour = rasterize(pixel, model.faces, colours * light[:, None], (fine, fine)).attributes
    picture = np.where(np.isnan(colour), 255.0, colour).astype(np.float32)
    small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0, 255).astype(np.uint8)


def atlas_picture(model: FaceModel, size: int) -> ByteArray:
    """Return a picture of the triangles of the atlas, coloured by region, (size, size, 3) uint8 RGB."""
    picture = np.full((size, size, 3), 255, dtype=np.uint8)
    colours = _vertex_colours(model, tuple(_COLOURS))[model.faces].mean(axis=1)
    corners = np.stack([model.uv[..., 0], 1.0 - model.uv[..., 1]], axis=1)[model.uv_faces] * size
    points = np.rint(corners * 16).astype(np.int32)
    for triangle, colour in zip(points, colours, strict=True):
        cv2.fillConvexPoly(picture, triangle, colour.tolist(), cv2.LINE_8, 4)
    for triangle in points:
        cv2.polylines(picture, [triangle], True, (70, 70, 70), 1, cv2.LINE_AA, 4)
    return picture


def _vertex_colours(model: FaceModel, names: tuple[str, ...]) -> FloatArray:
    colours = np.full((len(model.mean), 3), _SKIN)
    for name in names:
        colours[model.regions[name]] = _COLOURS[name]
    return colours


def _wires(model: FaceModel) -> ByteArray:
    """Return one picture (h, w, 3) uint8 of the triangle edges of the mean face.

    Four views are side by side: the whole face, an eye, the mouth, the nose.
    """
    places = (((0.0, -40.0), 190.0), ((31.0, 0.0), 50.0), ((0.0, -66.0), 60.0), ((0.0, -40.0), 60.0))
    T = model.mean[model.faces[: model.face_triangle_count]]
    toward = np.cross(T[:, 1] - T[:, 0], T[:, 2] - T[:, 0])[:, 2] > 0
    pictures = []
    for centre, height in places:
        picture = np.full((_SIZE, _SIZE, 3), 255, dtype=np.uint8)
        flat = (T[toward, :, :2] - np.array(centre)) * (_SIZE / height) * (1.0, -1.0) + 0.5 * _SIZE
        for triangle in np.rint(flat * 16).astype(np.int32):
            cv2.polylines(picture, [triangle], True, (90, 90, 110), 1, cv2.LINE_AA, 4)
        pictures.append(picture)
    return np.hstack(pictures)


def _identity_sheet(model: FaceModel, colours: FloatArray) -> ByteArray:
    """Return one picture (h, w, 3) uint8 of the first five identity components, one row per component.

    Each row shows -2 and +2 standard deviations, from the front and from the side.
    """
    rows = []
    for index in range(5):
        row = []
        for amount in (-2.0, 2.0):
            coefficients = np.zeros(index + 1)
            coefficients[index] = amount
            V = model.vertices(coefficients)
            row += [shaded(model, V, colours, yaw=yaw) for yaw in (0.0, 60.0)]
        rows.append(np.hstack(row))
    return np.vstack(rows)


def _expression_sheet(model: FaceModel, colours: FloatArray) -> ByteArray:
    pictures = []
    for weights in _EXPRESSIONS:
        vector = np.zeros(len(model.expression_names))
        for name, value in weights.items():
            vector[model.expression_names.index(name)] = value
        pictures.append(shaded(model, model.vertices(expression=vector), colours, frame=_NEAR))
    return np.vstack([np.hstack(pictures[:5]), np.hstack(pictures[5:])])
