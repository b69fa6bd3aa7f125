"""Pictures of meshes: a software renderer, based on the rasteriser of the C++ core, and preview sheets."""

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
from facegeom._internal.threads import one_thread
from facegeom.images.crop import apply_affine, crop_affine, crop_image
from facegeom.images.photo import Photo
from facegeom.images.pictures import correspondence_picture, depth_picture, fit_square
from facegeom.images.sampling import bilinear
from facegeom.mesh.face_mesh import FaceMesh

if TYPE_CHECKING:
    from facegeom.reconstruction import Reconstruction

VIEWS = {"front": 0.0, "three-quarter": 40.0, "side": 80.0}
"""Name of a view -> yaw of the head in degrees. Previews turn the head to show the side visible in the photo."""

SUPERSAMPLING = 2
"""Number of samples per pixel along each image axis, for anti-aliasing."""

BACKGROUND = 0.955  # gray level of the background, in [0, 1]
CLAY = (0.83, 0.78, 0.74)  # colour of a mesh without colours: red, green, blue in [0, 1]
CAPTION_COLOR = (40, 40, 40)


@dataclass(frozen=True)
class Light:
    """A directional light; `direction` points from the surface to the light, in the camera frame."""

    direction: tuple[float, float, float]
    strength: float
    softness: float  # wrap lighting in [0, 1]: 0 is Lambert's cosine law, 1 also lights surfaces that face away


LIGHTS = (
    Light((-0.55, 0.55, 0.65), 0.62, 0.15),  # key light, from the upper left
    Light((0.80, 0.10, 0.55), 0.22, 0.5),  # fill light, from the right
    Light((0.10, 0.60, -0.70), 0.16, 0.3),  # rim light, from behind and above
)
AMBIENT = 0.16  # intensity of the ambient light
GLOSS = 0.10  # intensity of the highlights, relative to the intensity of the light
GLOSS_EXPONENT = 24.0  # Blinn-Phong exponent of the highlights


@dataclass(frozen=True)
class Frame:
    """The region that an orthographic picture shows.

    Attributes
    ----------
    center : x, y, z of the centre of the picture, mm in the face frame
    extent : side length of the square region that the picture shows, mm
    """

    center: tuple[float, float, float]
    extent: float

    @classmethod
    def around(cls, mesh: FaceMesh, margin: float = 1.08) -> Frame:
        """Return a frame that contains all of `mesh` at any rotation about the vertical axis.

        Parameters
        ----------
        mesh : FaceMesh
        margin : factor on the extent; a value below 1 gives a close-up
        """
        if not len(mesh.vertices):
            return cls((0.0, 0.0, 0.0), 1.0)
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        x, y, z = ((low + high) / 2).tolist()
        width = float(np.hypot(high[0] - low[0], high[2] - low[2]))
        return cls((x, y, z), margin * max(float(high[1] - low[1]), width, 1e-6))


def turn(yaw: float, pitch: float = 0.0) -> FloatArray:
    """Return the rotation matrix of a head pose.

    Parameters
    ----------
    yaw : rotation about the vertical axis, degrees; a positive yaw turns the head to its left
    pitch : rotation about the horizontal axis, degrees, applied after the yaw; a positive pitch nods the head down

    Returns
    -------
    (3, 3) float array, face frame to camera frame
    """
    y, p = math.radians(yaw), math.radians(pitch)
    about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    return np.asarray(about_x @ about_y, dtype=np.float64)


@one_thread()
def render_mesh(
    mesh: FaceMesh,
    rotation: npt.ArrayLike | None = None,
    *,
    size: int = 320,
    frame: Frame | None = None,
    colors: bool = False,
) -> ByteArray:
    """Render a mesh orthographically, lit by a key light, a fill light and a rim light.

    Parameters
    ----------
    mesh : FaceMesh
    rotation : (3, 3) float array, face frame to camera frame; None: view from the front
    size : side length of the square picture, pixels, at least 8
    frame : the region to show; None: the whole mesh
    colors : True: draw the texture or the vertex colours of the mesh with weak shading; False: draw the mesh in one
        colour with full shading

    Returns
    -------
    (size, size, 3) uint8 array, sRGB

    Raises
    ------
    ValueError, TypeError
        If `rotation` or `size` is invalid.
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
    normal[normal[:, 2] < 0] *= -1.0  # light both sides: an open mesh also shows its inside
    surface = raster.attributes[covered][:, 3:]
    if texture is not None:
        surface = _texels(texture, surface)
    light, gloss = _shade(normal)
    if colors:
        light, gloss = 0.55 + 0.45 * light, 0.3 * gloss  # colours from a photo already contain the light of the photo
    picture = np.full((fine, fine, 3), BACKGROUND**2.2)
    picture[covered] = surface * light[:, None] + gloss[:, None]
    small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(255.0 * np.clip(small, 0.0, 1.0) ** (1 / 2.2)), dtype=np.uint8)


@one_thread()
def preview_sheet(rec: Reconstruction, photo: ByteArray, *, size: int = 300) -> ByteArray:
    """Draw the steps of a reconstruction: photo, crop, maps, and the mesh of each stage from three directions.

    Parameters
    ----------
    rec : Reconstruction
    photo : (h, w, 3) uint8 array, the photo that was reconstructed, as `facegeom.load_image` returns it
    size : side length of each square picture, pixels, at least 32

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    ValueError, TypeError
        If `size` is invalid.
    """
    size = check.count(size, "size", 32)
    whole = Frame.around(rec.mesh)
    stages = dict(rec.stages)
    columns = max(len(stages) + 1, 5)

    top: list[tuple[str, ByteArray]] = [
        ("photo", fit_square(_photo_with_crop_box(photo, rec), size, background=255)),
        ("crop and landmarks", _crop_with_landmarks(photo, rec, size)),
        ("depth", _resize_nearest(depth_picture(rec.maps.depth), size)),
        ("correspondence", _resize_nearest(correspondence_picture(rec.maps.correspondence), size)),
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
    """Arrange pictures and their captions in rows on a white background.

    Parameters
    ----------
    rows : in each row, pairs of caption and (size, size, 3) uint8 array
    size : side length of each square picture, pixels
    columns : number of pictures in the longest row

    Returns
    -------
    (H, W, 3) uint8 array
    """
    caption, gap = max(14, size // 14), max(4, size // 50)
    width = columns * (size + gap) + gap
    height = len(rows) * (size + caption + gap) + gap
    sheet = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(10, caption - 6))
    for i, row in enumerate(rows):
        for j, (text, picture) in enumerate(row):
            x, y = gap + j * (size + gap), gap + i * (size + caption + gap)
            pen.text((x + 2, y), text, fill=CAPTION_COLOR, font=font)
            sheet.paste(Image.fromarray(picture), (x, y + caption))
    return np.ascontiguousarray(sheet)


def _surface(mesh: FaceMesh, colors: bool) -> tuple[IntArray, IntArray, FloatArray, ByteArray | None]:
    """Return the triangles and vertex values to rasterise.

    Returns
    -------
    source : (p,) int array, the mesh vertex of each drawn vertex
    faces : (m, 3) int array, triangles of the drawn vertices
    values : (p, 3) float array, linear colours; with a texture, (p, 2) float array, texture coordinates
    texture : (h, w, 3) uint8 array, or None
    """
    source = np.arange(len(mesh.vertices))
    if colors and mesh.texture is not None:
        source, uv, faces = mesh.unrolled()
        return source, faces, uv, mesh.texture
    if colors and mesh.colors is not None:
        return source, mesh.faces, (mesh.colors / 255.0) ** 2.2, None
    return source, mesh.faces, np.tile(np.array(CLAY) ** 2.2, (len(source), 1)), None


def _texels(texture: ByteArray, uv: FloatArray) -> FloatArray:
    """Return the linear colours (p, 3) of a texture at texture coordinates `uv` (p, 2), bilinearly interpolated."""
    height, width = texture.shape[:2]
    return (bilinear(texture, uv * (width, -height) + (-0.5, height - 0.5)) / 255.0) ** 2.2


def _shade(normal: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return diffuse and specular light, each (p,), at unit normals (p, 3) in the camera frame (Blinn-Phong)."""
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


def _shown(photo: ByteArray, rec: Reconstruction) -> Photo:
    """Return the pictured photo, which may be reduced, with the size of the photo that `rec` refers to."""
    return Photo(photo, rec.photo_size, max(1, round(rec.photo_size[0] / photo.shape[1])))


def _photo_with_crop_box(photo: ByteArray, rec: Reconstruction) -> ByteArray:
    """Return a copy of the photo, (h, w, 3) uint8, with the outline of the crop that was the input of the network."""
    drawn = photo.copy()
    x0, y0, x1, y1 = (round(v) for v in _shown(photo, rec).box_in_image(rec.maps.box))
    thickness = max(1, round(max(photo.shape[:2]) / 250))
    cv2.rectangle(drawn, (x0, y0), (x1, y1), (255, 200, 0), thickness, cv2.LINE_AA)
    return drawn


def _crop_with_landmarks(photo: ByteArray, rec: Reconstruction, size: int) -> ByteArray:
    """Return the crop that was the network input, (size, size, 3) uint8, with dots at the 68 projected landmarks."""
    drawn = crop_image(photo, _shown(photo, rec).box_in_image(rec.maps.box), size)
    for x, y in apply_affine(crop_affine(rec.maps.box, size), rec.camera.project(rec.landmarks)).tolist():
        place = (round(x * 16), round(y * 16))  # fixed-point coordinates of OpenCV, 4 fractional bits
        cv2.circle(drawn, place, round(16 * size / 150), (60, 255, 90), -1, cv2.LINE_AA, 4)
    return drawn


def _resize_nearest(picture: ByteArray, size: int) -> ByteArray:
    """Return a square picture scaled to (size, size, 3) uint8 by nearest-neighbour interpolation."""
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
