"""CC0 skins, hair and environment maps in the topology of the face model (`facegeom prepare assets`).

Skins and hair belong to the base mesh of MakeHuman. The mean head of the face model is registered to this mesh, with
twelve landmarks. Each vertex takes the colour of the closest point of the mesh; the hair is carried along.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray
from facegeom._internal.files import write_npz
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.images.image_files import load_image
from facegeom.training.data.hair_meshes import HairMesh, fit_hair, read_hair
from facegeom.training.data.light import harmonics
from facegeom.training.data.makehuman import read_makehuman, register_head, texture_coordinates
from facegeom.training.data.texture_model import plain_colours

log = logging.getLogger("facegeom")

TURNS = 16  # camera directions in each environment map
BACKDROP_PIXELS = 48
BACKDROPS = 12  # backgrounds cut from each environment map


@dataclass(frozen=True)
class Assets:
    """Skins, hair, lights and backgrounds for synthetic heads.

    Attributes
    ----------
    skins : (s, n, 3) uint8, colours of the vertices of the face model
    skin_names : (s,)
    lights : (e, 16, 9, 3) float32, light of each map in each camera direction, in the order of `harmonics`, with
        mean irradiance 1; camera frame
    backdrops : (e, 12, 48, 48, 3) uint8, backgrounds cut from the maps
    light_names : (e,)
    hair : tuple of HairMesh, h of them
    hair_names : (h,)
    """

    skins: ByteArray
    skin_names: np.ndarray
    lights: Float32Array
    backdrops: ByteArray
    light_names: np.ndarray
    hair: tuple[HairMesh, ...]
    hair_names: np.ndarray

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Assets:
        """Read the file that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        FacegeomError
            If an older version wrote the file.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no assets {path}: make them with `facegeom prepare assets`")
        with np.load(path) as data:
            if "hair_names" not in data:
                raise FacegeomError(f"{path} has no hair: make it again with `facegeom prepare assets`")
            arrays = {name: data[name] for name in cls.__dataclass_fields__ if name != "hair"}
            hair = (
                HairMesh(**{field.name: data[f"hair/{name}/{field.name}"] for field in fields(HairMesh)})
                for name in data["hair_names"]
            )
            return cls(**arrays, hair=tuple(hair))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all arrays to one .npz, whole or not at all."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "hair"}
        for name, mesh in zip(self.hair_names, self.hair, strict=True):
            arrays |= {f"hair/{name}/{field}": values for field, values in mesh.arrays().items()}
        write_npz(path, arrays)

    def part(self, *, held_out: bool) -> Assets:
        """Return the assets that are reserved for validation (every fifth skin, map and hair), or the others."""
        skins, lights, hair = (
            (np.arange(len(names)) % 5 == 2) == held_out
            for names in (self.skin_names, self.light_names, self.hair_names)
        )
        return Assets(
            self.skins[skins],
            self.skin_names[skins],
            self.lights[lights],
            self.backdrops[lights],
            self.light_names[lights],
            tuple(mesh for mesh, keep in zip(self.hair, hair, strict=True) if keep),
            self.hair_names[hair],
        )


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
    """Read skins, base mesh, hair and environment maps from a folder and convert them to the face model.

    Raises
    ------
    FacegeomError
        If the mesh, the skins or the maps are missing, or a hair mesh has no texture.
    """
    paths = sorted((folder / "skins").glob("*.png"))
    if not paths or not (folder / "makehuman_base.obj").is_file() or not (folder / "hdri.npz").is_file():
        raise FacegeomError(f"{folder} must hold makehuman_base.obj, hdri.npz and skins/*.png")
    model = load_face_model()
    head = read_makehuman(folder / "makehuman_base.obj")
    registered = register_head(model, head)
    uv = texture_coordinates(head, registered)
    hair = []
    hair_paths = sorted((folder / "hair").glob("*.obj"))
    for path in hair_paths:
        V, F, texture_uv, texture = read_hair(path)
        hair.append(fit_hair(model, registered, head.place(V), F, texture_uv, texture))
    skins = [skin_colours(model, load_image(path), uv) for path in paths]
    with np.load(folder / "hdri.npz") as maps:
        environments = {name: maps[name].astype(np.float64) for name in maps.files}
    return Assets(
        np.array(skins),
        np.array([path.stem for path in paths]),
        np.array([environment_lights(environment) for environment in environments.values()]),
        np.array([environment_backdrops(environment) for environment in environments.values()]),
        np.array(list(environments)),
        tuple(hair),
        np.array([path.stem for path in hair_paths], dtype=str),
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
        help="file written by `facegeom prepare assets`: skins, hair and lights for synthetic faces (default: none)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare assets` to a parser."""
    parser.add_argument(
        "folder", type=Path, help="folder with makehuman_base.obj, skins/*.png, hair/*.obj with textures, and hdri.npz"
    )
    parser.add_argument("--out", "-o", default="runs/assets.npz", help="file to write (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Convert skins, hair and environment maps to the face model and write them."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    assets = make_assets(args.folder)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    assets.save(args.out)
    log.info(
        "%s: %d skins, %d hair meshes, %d environment maps",
        *(args.out, len(assets.skins), len(assets.hair), len(assets.lights)),
    )
    return 0
