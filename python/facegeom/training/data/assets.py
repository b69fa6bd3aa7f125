"""CC0 skins and environment maps in the topology of the face model (`facegeom prepare assets`).

The skins belong to the base mesh of MakeHuman. The mean head of the face model is registered to this mesh, with twelve
landmarks. Each vertex takes the colour of the closest point of the mesh.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray, IntArray
from facegeom._internal.files import write_npz
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.fitting import similarity
from facegeom.geometry import RegistrationOptions, closest_points, rasterize, register_nonrigid
from facegeom.images.image_files import load_image
from facegeom.training.data.light import harmonics
from facegeom.training.data.texture_model import plain_colours, skin_vertices

log = logging.getLogger("facegeom")

EYES_MM = 63.0  # between the eye centres of the mean face
BOTTOM_MM = -160.0  # lower limit of the used part of the MakeHuman mesh, relative to the eyes
SIDE_MM = 110.0  # half of the width of the used part
VIEW_YAWS = (-130.0, -90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0, 130.0, 180.0)  # views for finding the outer surface
VIEW_PITCHES = (-35.0, 0.0, 40.0)
VIEW_PIXELS = 640
LANDMARKS_MM = {  # landmark number -> x, y in mm from the midpoint of the eyes, measured in a picture
    36: (-45.2, 0.2),
    39: (-17.0, -1.6),
    42: (17.0, -1.6),
    45: (45.2, 0.2),
    30: (0.0, -35.2),
    33: (0.0, -46.0),
    48: (-26.8, -68.6),
    54: (26.8, -68.6),
    51: (0.0, -59.4),
    62: (0.0, -67.4),
    66: (0.0, -71.0),
    57: (0.0, -81.6),
}
REGISTRATION = RegistrationOptions(alignment="none", reach=0.12, least_reach=0.02)
LANDMARK_WEIGHT = 300.0
TURNS = 16  # camera directions in each environment map
BACKDROP_PIXELS = 48
BACKDROPS = 12  # backgrounds cut from each environment map


@dataclass(frozen=True)
class Assets:
    """Skins, lights and backgrounds for synthetic heads.

    Attributes
    ----------
    skins : (s, n, 3) uint8, colours of the vertices of the face model
    skin_names : (s,)
    lights : (e, 16, 9, 3) float32, light of each map in each camera direction, in the order of `harmonics`, with
        mean irradiance 1; camera frame
    backdrops : (e, 12, 48, 48, 3) uint8, backgrounds cut from the maps
    light_names : (e,)
    """

    skins: ByteArray
    skin_names: np.ndarray
    lights: Float32Array
    backdrops: ByteArray
    light_names: np.ndarray

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Assets:
        """Read the file that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no assets {path}: make them with `facegeom prepare assets`")
        with np.load(path) as data:
            return cls(**{name: data[name] for name in cls.__dataclass_fields__})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all arrays to one .npz, whole or not at all."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        write_npz(path, arrays)

    def part(self, *, held_out: bool) -> Assets:
        """Return the assets that are reserved for validation (every fifth skin and map), or the others."""
        skins, lights = (np.arange(len(names)) % 5 == 2 for names in (self.skin_names, self.light_names))
        skins, lights = (keep == held_out for keep in (skins, lights))
        return Assets(
            self.skins[skins],
            self.skin_names[skins],
            self.lights[lights],
            self.backdrops[lights],
            self.light_names[lights],
        )


class HeadMesh(NamedTuple):
    """Outer surface of the head of MakeHuman.

    Attributes
    ----------
    V : (n, 3) float array, mm from the midpoint of the eyes, axes of the face model
    F : (m, 3) int array
    uv : (p, 2) float array
    uv_faces : (m, 3) int array
    """

    V: FloatArray
    F: IntArray
    uv: FloatArray
    uv_faces: IntArray


def read_makehuman(path: str | os.PathLike[str]) -> HeadMesh:
    """Read the head of the MakeHuman base mesh.

    Raises
    ------
    FacegeomError
        If the file is not this mesh.
    """
    vertices, uv = [], []
    groups: dict[str, list[list[list[int]]]] = {}
    group = ""
    for line in Path(path).read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(word) for word in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(word) for word in words[1:3]])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f":
            groups.setdefault(group, []).append([[int(n) - 1 for n in word.split("/")[:2]] for word in words[1:]])
    if not {"body", "joint-l-eye", "joint-r-eye"} <= set(groups):
        raise FacegeomError(f"{path} is not the base mesh of MakeHuman: it lacks body, joint-l-eye or joint-r-eye")
    V = np.array(vertices)
    left, right = (
        V[np.unique([corner[0] for face in groups[f"joint-{side}-eye"] for corner in face])].mean(0) for side in "lr"
    )
    V = (V - 0.5 * (left + right)) * (EYES_MM / np.linalg.norm(left - right))
    quads = np.array(groups["body"])  # (q, 4, 2)
    near = (V[quads[:, :, 0], 1] > BOTTOM_MM).all(1) & (np.abs(V[quads[:, :, 0], 0]) < SIDE_MM).all(1)
    triangles = np.concatenate([quads[near][:, [0, 1, 2]], quads[near][:, [0, 2, 3]]])
    F, uv_faces = (np.ascontiguousarray(triangles[..., k], dtype=np.int64) for k in (0, 1))
    outside = _seen(V, F)
    return HeadMesh(V, F[outside], np.array(uv), uv_faces[outside])


def _seen(V: FloatArray, F: IntArray) -> IntArray:
    """Return the triangles that are visible from outside, without the inside of the mouth, the nose and the eyes."""
    scale, seen = VIEW_PIXELS / 320.0, np.zeros(len(F), bool)
    for yaw in np.radians(VIEW_YAWS):
        for pitch in np.radians(VIEW_PITCHES):
            turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
            nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
            points = V @ (nod @ turn).T * scale * np.array([1.0, -1.0, 1.0])
            points[:, :2] += VIEW_PIXELS / 2
            triangle = rasterize(points, F, None, (VIEW_PIXELS + 60, VIEW_PIXELS)).triangle
            seen[triangle[triangle >= 0]] = True
    return np.flatnonzero(seen)


def register_head(model: FaceModel, head: HeadMesh) -> FloatArray:
    """Register the face model to the head; return the texture coordinates of its skin vertices, (n, 2), v up."""
    skin = skin_vertices(model)
    count = int(skin.sum())
    faces = model.faces[skin[model.faces].all(1)]
    scale = 5.0
    points = head.V * scale * np.array([1.0, -1.0, 1.0]) + np.array([480.0, 220.0, 0.0])
    surface = rasterize(points, head.F, head.V, (900, 960)).attributes
    ids = model.landmarks68[list(LANDMARKS_MM)]
    places = np.array([surface[round(220 - scale * y), round(480 + scale * x)] for x, y in LANDMARKS_MM.values()])
    rotation, size, shift = similarity(model.mean[ids], places)
    start = size * model.mean[:count] @ rotation.T + shift
    moved = register_nonrigid(
        start,
        faces,
        None,
        head.V,
        head.F,
        None,
        REGISTRATION,
        landmarks=(ids, places),
        landmark_weight=LANDMARK_WEIGHT,
    ).vertices
    found = closest_points(head.V, head.F, moved)
    log.info("mean distance after registration: %.2f mm", float(found.distance.mean()))
    return np.asarray((head.uv[head.uv_faces[found.face]] * found.weights[:, :, None]).sum(1), dtype=np.float64)


def skin_colours(model: FaceModel, texture: ByteArray, uv: FloatArray) -> ByteArray:
    """Return the colours (n, 3) of the vertices from a texture (h, w, 3). Eyes and mouth have plain colours."""
    height, width = texture.shape[:2]
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    colours = plain_colours(model)
    colours[: len(uv)] = cv2.remap(
        texture.astype(np.float32), x.astype(np.float32)[None], y.astype(np.float32)[None], cv2.INTER_LINEAR
    )[0]
    return np.clip(colours + 0.5, 0, 255).astype(np.uint8)


def environment_lights(environment: FloatArray) -> Float32Array:
    """Return the light of an environment map (h, w, 3) in 16 camera directions, (16, 9, 3).

    The harmonics are fitted to the irradiance of 300 normals, divided by its mean (Ramamoorthi & Hanrahan 2001).
    """
    height, width = environment.shape[:2]
    elevation = np.pi / 2 - (np.arange(height) + 0.5) * np.pi / height
    azimuth = (np.arange(width) + 0.5) * 2 * np.pi / width
    up, around = np.meshgrid(elevation, azimuth, indexing="ij")
    directions = np.stack([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)], -1).reshape(-1, 3)
    power = (environment * np.cos(up)[..., None]).reshape(-1, 3)
    normals = _sphere(300)
    irradiance = np.maximum(normals @ directions.T, 0) @ power
    irradiance = irradiance / irradiance.mean()
    lights = []
    for turn in np.arange(TURNS) * 2 * np.pi / TURNS:
        c, s = np.cos(turn), np.sin(turn)
        turned = normals @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        lights.append(np.linalg.lstsq(harmonics(turned.astype(np.float32)), irradiance, rcond=None)[0])
    return np.array(lights, dtype=np.float32)


def environment_backdrops(environment: FloatArray) -> ByteArray:
    """Return backgrounds (12, 48, 48, 3), cut from the horizon of an environment map, 45 or 90 degrees wide."""
    height = environment.shape[0]
    exposed = environment / max(float(np.median(environment)) * 3, 1e-4)
    bright = (np.clip(exposed, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    bright = np.concatenate([bright, bright], axis=1)
    pictures = []
    for number in range(BACKDROPS):
        side = height // 4 * (1 + number % 2)
        row, column = (height - side) // 2, number * height * 2 // BACKDROPS
        cut = bright[row : row + side, column : column + side]
        pictures.append(cv2.resize(cut, (BACKDROP_PIXELS, BACKDROP_PIXELS), interpolation=cv2.INTER_AREA))
    return np.array(pictures, dtype=np.uint8)


def _sphere(count: int) -> FloatArray:
    """Return evenly distributed unit vectors (count, 3): a Fibonacci spiral."""
    index = np.arange(count) + 0.5
    z, around = 1 - 2 * index / count, np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(around), radius * np.sin(around), z], 1)


def make_assets(folder: Path) -> Assets:
    """Read skins, base mesh and environment maps from a folder and convert them to the face model.

    Raises
    ------
    FacegeomError
        If the mesh, the skins or the maps are missing.
    """
    paths = sorted((folder / "skins").glob("*.png"))
    if not paths or not (folder / "makehuman_base.obj").is_file() or not (folder / "hdri.npz").is_file():
        raise FacegeomError(f"{folder} must hold makehuman_base.obj, hdri.npz and skins/*.png")
    model = load_face_model()
    uv = register_head(model, read_makehuman(folder / "makehuman_base.obj"))
    skins = [skin_colours(model, load_image(path), uv) for path in paths]
    with np.load(folder / "hdri.npz") as maps:
        environments = {name: maps[name].astype(np.float64) for name in maps.files}
    return Assets(
        np.array(skins),
        np.array([path.stem for path in paths]),
        np.array([environment_lights(environment) for environment in environments.values()]),
        np.array([environment_backdrops(environment) for environment in environments.values()]),
        np.array(list(environments)),
    )


def load_assets(path: str | os.PathLike[str] | None, *, held_out: bool) -> Assets | None:
    """Return the part of the assets in a file that is reserved for validation, or the rest; None without a file."""
    return None if path is None else Assets.load(path).part(held_out=held_out)


def add_assets(parser: argparse.ArgumentParser) -> None:
    """Add the argument `--assets` to a parser."""
    parser.add_argument(
        "--assets",
        type=Path,
        metavar="FILE",
        help="file written by `facegeom prepare assets`: skins and lights for synthetic faces (default: none)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare assets` to a parser."""
    parser.add_argument("folder", type=Path, help="folder with makehuman_base.obj, skins/*.png and hdri.npz")
    parser.add_argument("--out", "-o", default="runs/assets.npz", help="file to write (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Convert skins and environment maps to the face model and write them."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    assets = make_assets(args.folder)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    assets.save(args.out)
    log.info("%s: %d skins, %d environment maps", args.out, len(assets.skins), len(assets.lights))
    return 0
