"""Pictures of meshes and maps: a software renderer on the core's rasteriser, and preview sheets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.images.crop import apply_affine, crop_affine, crop_image
from facegeom.images.sampling import bilinear
from facegeom.mesh.face_mesh import FaceMesh

if TYPE_CHECKING:
    from facegeom.images.face_maps import FaceMaps
    from facegeom.reconstruction import Reconstruction

VIEWS = {"front": 0.0, "three-quarter": 40.0, "side": 80.0}
"""Degrees by which the head of a preview turns, to the side that the photo shows."""

SUPERSAMPLING = 2
"""Samples a pixel in each direction."""

BACKGROUND = 0.955
CLAY = (0.83, 0.78, 0.74)
INK = (40, 40, 40)


@dataclass(frozen=True)
class Light:
    """A directional light; `direction` points from the surface to the light, camera frame."""

    direction: tuple[float, float, float]
    strength: float
    softness: float  # 0: Lambert's cosine; 1: the light wraps around to the far side


LIGHTS = (
    Light((-0.55, 0.55, 0.65), 0.62, 0.15),  # key, upper left
    Light((0.80, 0.10, 0.55), 0.22, 0.5),  # fill, right
    Light((0.10, 0.60, -0.70), 0.16, 0.3),  # rim, behind and above
)
AMBIENT = 0.16
GLOSS = 0.10
GLOSS_EXPONENT = 24.0


@dataclass(frozen=True)
class Frame:
    """What an orthographic view shows: the square of side `extent` (mm) around `center` (face frame)."""

    center: tuple[float, float, float]
    extent: float

    @classmethod
    def around(cls, mesh: FaceMesh, margin: float = 1.08) -> Frame:
        """Return the frame that shows `mesh` whole from every side about the vertical axis."""
        if not len(mesh.vertices):
            return cls((0.0, 0.0, 0.0), 1.0)
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        x, y, z = ((low + high) / 2).tolist()
        width = float(np.hypot(high[0] - low[0], high[2] - low[2]))
        return cls((x, y, z), margin * max(float(high[1] - low[1]), width, 1e-6))


def turn(yaw: float, pitch: float = 0.0) -> FloatArray:
    """Return the (3, 3) rotation of a head turned to its left by `yaw` degrees, then nodded down by `pitch` degrees."""
    y, p = math.radians(yaw), math.radians(pitch)
    about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    return np.asarray(about_x @ about_y, dtype=np.float64)


def render_mesh(
    mesh: FaceMesh,
    rotation: npt.ArrayLike | None = None,
    *,
    size: int = 320,
    frame: Frame | None = None,
    colors: bool = False,
) -> ByteArray:
    """Draw a mesh, shaded by a soft key light, a fill and a rim light.

    Parameters
    ----------
    mesh : FaceMesh
    rotation : (3, 3) float array, face frame -> camera frame; None: from the front
    size : side of the picture in pixels
    frame : what the picture shows; None: the whole mesh
    colors : draw the mesh's texture or colours, lit faintly, instead of clay

    Returns
    -------
    (size, size, 3) uint8 array
    """
    size = check.count(size, "size", 8)
    rotation = np.eye(3) if rotation is None else check.float_array(rotation, "rotation", (3, 3))
    frame = Frame.around(mesh) if frame is None else frame
    fine = size * SUPERSAMPLING

    camera = (mesh.vertices - np.array(frame.center)) @ rotation.T
    scale = fine / frame.extent
    points = camera * (scale, -scale, 1.0) + (0.5 * (fine - 1), 0.5 * (fine - 1), 0.0)
    normals = geometry.vertex_normals(mesh.vertices, mesh.faces) @ rotation.T
    source, faces, values, texture = _surface(mesh, colors)
    raster = geometry.rasterize(points[source], faces, np.hstack([normals[source], values]), (fine, fine))

    covered = raster.triangle >= 0
    normal = raster.attributes[covered][:, :3]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    normal[normal[:, 2] < 0] *= -1.0  # an open mesh shows its inside too
    surface = raster.attributes[covered][:, 3:]
    if texture is not None:
        surface = _texels(texture, surface)
    light, gloss = _shade(normal)
    if colors:
        light, gloss = 0.55 + 0.45 * light, 0.3 * gloss  # a photo's colours hold the light of the photo already
    picture = np.full((fine, fine, 3), BACKGROUND**2.2)
    picture[covered] = surface * light[:, None] + gloss[:, None]
    small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(255.0 * np.clip(small, 0.0, 1.0) ** (1 / 2.2)), dtype=np.uint8)


def depth_picture(maps: FaceMaps) -> ByteArray:
    """Return the depth map as (S, S, 3) uint8, near bright and far dark, over the range that it covers."""
    picture = np.full((maps.size, maps.size), 0.0)
    depth = maps.depth[maps.mask]
    if depth.size:
        low, high = float(depth.min()), float(depth.max())
        picture[maps.mask] = 0.12 + 0.88 * (depth - low) / max(high - low, 1e-6)
    shade = np.asarray(np.rint(255 * picture), dtype=np.uint8)
    shown = cv2.applyColorMap(shade, cv2.COLORMAP_MAGMA)[:, :, ::-1]
    return np.ascontiguousarray(np.where(maps.mask[:, :, None], shown, 255), dtype=np.uint8)


def correspondence_picture(maps: FaceMaps) -> ByteArray:
    """Return the correspondence as (S, S, 3) uint8: x, y, z of -90 to 90 mm as red, green, blue."""
    picture = np.full((maps.size, maps.size, 3), 255, np.uint8)
    values = np.clip((maps.correspondence[maps.mask] + 90.0) / 180.0, 0.0, 1.0)
    picture[maps.mask] = np.rint(255 * values).astype(np.uint8)
    return picture


def preview_sheet(rec: Reconstruction, photo: ByteArray, *, size: int = 300) -> ByteArray:
    """Draw what a reconstruction did: photo, crop, maps, and each stage from front, three-quarter and side.

    Parameters
    ----------
    rec : Reconstruction
    photo : (h, w, 3) uint8 array, the photo it was made from
    size : side of one picture in pixels

    Returns
    -------
    (H, W, 3) uint8 array
    """
    size = check.count(size, "size", 32)
    whole = Frame.around(rec.mesh)
    stages = dict(rec.stages)
    columns = max(len(stages) + 1, 5)

    top: list[tuple[str, ByteArray]] = [
        ("photo", _fit(_with_box(photo, rec), size)),
        ("crop and landmarks", _with_landmarks(photo, rec, size)),
        ("depth", _enlarge(depth_picture(rec.maps), size)),
        ("correspondence", _enlarge(correspondence_picture(rec.maps), size)),
        ("as photographed", render_mesh(rec.mesh, rec.camera.rotation, size=size)),
    ]
    rows = [top]
    side = 1.0 if rec.camera.rotation[0, 2] >= 0 else -1.0
    for view, yaw in VIEWS.items():
        rotation = turn(side * yaw)
        row = [
            (f"{name}, {view}", render_mesh(mesh, rotation, size=size, frame=whole)) for name, mesh in stages.items()
        ]
        row.append((f"colours, {view}", render_mesh(rec.mesh, rotation, size=size, frame=whole, colors=True)))
        rows.append(row)
    return tile(rows, size, columns)


def tile(rows: list[list[tuple[str, ByteArray]]], size: int, columns: int) -> ByteArray:
    """Return captioned (size, size, 3) pictures laid out in rows, on white."""
    caption, gap = max(14, size // 14), max(4, size // 50)
    width = columns * (size + gap) + gap
    height = len(rows) * (size + caption + gap) + gap
    sheet = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(10, caption - 6))
    for i, row in enumerate(rows):
        for j, (text, picture) in enumerate(row):
            x, y = gap + j * (size + gap), gap + i * (size + caption + gap)
            pen.text((x + 2, y), text, fill=INK, font=font)
            sheet.paste(Image.fromarray(picture), (x, y + caption))
    return np.ascontiguousarray(sheet)


def _surface(mesh: FaceMesh, colors: bool) -> tuple[IntArray, IntArray, FloatArray, ByteArray | None]:
    """Return which vertices to draw, their triangles, and linear colours or, with a texture, uv to interpolate."""
    source = np.arange(len(mesh.vertices))
    if colors and mesh.texture is not None:
        source, uv, faces = mesh.unrolled()
        return source, faces, uv, mesh.texture
    if colors and mesh.colors is not None:
        return source, mesh.faces, (mesh.colors / 255.0) ** 2.2, None
    return source, mesh.faces, np.tile(np.array(CLAY) ** 2.2, (len(source), 1)), None


def _texels(texture: ByteArray, uv: FloatArray) -> FloatArray:
    """Return linear colours (p, 3) of a texture at `uv` (p, 2)."""
    height, width = texture.shape[:2]
    return (bilinear(texture, uv * (width, -height) + (-0.5, height - 0.5)) / 255.0) ** 2.2


def _shade(normal: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return diffuse light and gloss (p,) at unit normals (p, 3) of the camera frame."""
    light = np.full(len(normal), AMBIENT)
    gloss = np.zeros(len(normal))
    for source in LIGHTS:
        direction = np.array(source.direction) / np.linalg.norm(source.direction)
        cosine = normal @ direction
        light += source.strength * np.maximum(0.0, (cosine + source.softness) / (1.0 + source.softness))
        halfway = direction + np.array([0.0, 0.0, 1.0])
        halfway = halfway / np.linalg.norm(halfway)
        gloss += GLOSS * source.strength * np.maximum(0.0, normal @ halfway) ** GLOSS_EXPONENT * (cosine > 0)
    return light, gloss


def _with_box(photo: ByteArray, rec: Reconstruction) -> ByteArray:
    """The photo with the network's crop drawn in."""
    drawn = photo.copy()
    x0, y0, x1, y1 = (round(v) for v in rec.maps.box)
    thickness = max(1, round(max(photo.shape[:2]) / 250))
    cv2.rectangle(drawn, (x0, y0), (x1, y1), (255, 200, 0), thickness, cv2.LINE_AA)
    return drawn


def _with_landmarks(photo: ByteArray, rec: Reconstruction, size: int) -> ByteArray:
    """The crop with the 68 landmarks where the camera puts them."""
    drawn = crop_image(photo, rec.maps.box, size)
    for x, y in apply_affine(crop_affine(rec.maps.box, size), rec.camera.project(rec.landmarks)).tolist():
        place = (round(x * 16), round(y * 16))  # sixteenths of a pixel
        cv2.circle(drawn, place, round(16 * size / 150), (60, 255, 90), -1, cv2.LINE_AA, 4)
    return drawn


def _enlarge(picture: ByteArray, size: int) -> ByteArray:
    """A square picture at another size, its pixels kept visible."""
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def _fit(photo: ByteArray, size: int) -> ByteArray:
    """The whole photo in a square, on white."""
    height, width = photo.shape[:2]
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(photo, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    square = np.full((size, size, 3), 255, np.uint8)
    y, x = (size - shape[1]) // 2, (size - shape[0]) // 2
    square[y : y + shape[1], x : x + shape[0]] = small
    return square
