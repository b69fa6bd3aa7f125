"""`facegeom evaluate heads`: pictures of complete heads from several directions, and of their textures.

Each head is saved as a GLB file and loaded again, so that the pictures show the content of the file.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray
from facegeom.errors import FacegeomError
from facegeom.evaluation.contact_sheet import PHOTOS, find_sheet_photos
from facegeom.face_model.template import load_template
from facegeom.images.image_files import load_image, save_image
from facegeom.measures.report import picture_folder, sheet, show
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.reconstruction import Reconstruction, reconstruct
from facegeom.render import Frame, render_mesh, turn
from facegeom.texture.appearance import View
from facegeom.texture.head_classes import head_classes
from facegeom.texture.painting import paint

SETS: dict[str, tuple[str, ...]] = {
    "heads": (
        "frontal, light skin", "frontal, dark skin", "child", "old", "beard", "glasses, dark skin", "mouth wide open",
        "turned, old",
    ),
    "turned": (
        "turned, dark skin", "turned, old", "turned, hat", "beard, turned", "mouth open, turned",
        "profile, beard, glasses",
    ),
    "occluders": (
        "turned, hand", "glasses", "sunglasses", "glasses, dark skin", "turned, hat", "frontal, young",
    ),
}  # fmt: skip
"""Name of a sheet -> keys of its photos in `PHOTOS`.

"heads" shows heads from four directions. "turned" shows photos where one side of the face is not visible. "occluders"
shows photos where hands, glasses, hats or hair cover a part of the face.
"""

SIDES = {"front": 0.0, "to its left": 40.0, "to its right": -40.0, "back": 180.0}  # caption -> yaw, degrees
HIDDEN_YAW = 45.0  # yaw, degrees, towards the side that is not visible in the photo
UNKNOWN = (128, 128, 128)  # colour of texels that are not visible in the photo
COLUMNS = {"heads": 2, "turned": 1, "occluders": 1}  # name of a sheet -> photos per row


@dataclass(frozen=True)
class HeadViews:
    """A reconstructed head with its texture, and the photo from which it was reconstructed.

    Attributes
    ----------
    photo : (h, w, 3) uint8 array
    mesh : the head, loaded from the GLB file
    texture : (S, S, 3) uint8 array, the completed texture
    known : (S, S) bool array, texels whose colour comes from the photo
    yaw_deg : yaw of the head in degrees, positive if the left side of the face is turned away from the camera
    """

    photo: ByteArray
    mesh: FaceMesh
    texture: ByteArray
    known: BoolArray
    yaw_deg: float


def head_views(photo: ByteArray, size: int, device: str = "cpu") -> HeadViews:
    """Reconstruct the head of a photo, save it as a GLB file and load it again.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    size : side length of the square texture atlas, texels
    device : device of the networks, such as "cpu" or "cuda"

    Raises
    ------
    NoFaceFound
        If no face is found.
    """
    rec = reconstruct(photo, head=True, texture=size, device=device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "head.glb"
        rec.save(file)
        mesh = FaceMesh.load(file)
    template = load_template(head=True)
    view = View(photo, rec.maps, rec.camera, rec.mesh.vertices, template.fine)
    painted = paint(template, view, head_classes(photo, rec.camera), size)
    return HeadViews(photo, mesh, painted.texture, painted.known, _yaw_deg(rec))


def _yaw_deg(rec: Reconstruction) -> float:
    forward = rec.camera.rotation[:, 2]  # forward axis of the face in the camera frame
    return float(np.degrees(np.arctan2(forward[0], forward[2])))


def head_row(views: HeadViews, size: int) -> dict[str, ByteArray]:
    """Return the pictures of the head from the directions of `SIDES`: caption -> picture."""
    frame = Frame.around(views.mesh)
    return {
        side: render_mesh(views.mesh, turn(yaw), size=size, frame=frame, colors=True) for side, yaw in SIDES.items()
    }


def texture_row(views: HeadViews, size: int) -> dict[str, ByteArray]:
    """Return pictures of the textures and of the head: caption -> picture.

    The pictures show the texture from the photo, the completed texture, the head with the yaw of the photo, and the
    head from the side that is not visible in the photo.
    """
    frame = Frame.around(views.mesh)
    hidden = -np.copysign(HIDDEN_YAW, views.yaw_deg)
    baked = np.where(views.known[..., None], views.texture, np.array(UNKNOWN, np.uint8))
    return {
        "from the photo": baked,
        "completed": views.texture,
        "as photographed": render_mesh(views.mesh, turn(views.yaw_deg), size=size, frame=frame, colors=True),
        "hidden side": render_mesh(views.mesh, turn(hidden), size=size, frame=frame, colors=True),
    }


def head_sheet(
    photos: str | Path, name: str, *, texture: int = 1024, size: int = 220, device: str = "cpu"
) -> tuple[ByteArray, list[str]]:
    """Draw one of the sheets of `SETS`.

    Parameters
    ----------
    photos : folder that contains the photos of `contact_sheet.PHOTOS`, also in subfolders
    name : key of `SETS`
    texture : side length of the square texture atlas, texels
    size : side length of each square picture, pixels
    device : device of the networks, such as "cpu" or "cuda"

    Returns
    -------
    sheet : (h, w, 3) uint8 array
    failures : one message per photo that could not be reconstructed; the sheet omits these photos

    Raises
    ------
    FacegeomError
        If a photo does not exist.
    """
    kinds = SETS[check.choice(name, "name", tuple(SETS))]
    paths = find_sheet_photos(photos, {kind: PHOTOS[kind] for kind in kinds})
    draw = head_row if name == "heads" else texture_row
    tiles: list[ByteArray] = []
    captions: list[str] = []
    failures = []
    for kind, path in tqdm(paths.items(), desc=name, unit="photo"):
        photo = load_image(path)
        try:
            row = {kind: photo, **draw(head_views(photo, texture, device), size)}
        except FacegeomError as error:
            failures.append(f"{path.name}: {error}")
            continue
        tiles += row.values()
        captions += row
    columns = COLUMNS[name] * 5
    return sheet(tiles, columns, size, captions), failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate heads`."""
    parser.add_argument("photos", metavar="PHOTOS", help="folder that contains the LFW photos, also in subfolders")
    parser.add_argument(
        "--texture", type=int, default=1024, help="side length of the texture atlas in texels (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, default=220, help="side length of each square picture in pixels (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="DIR", default="out", help="output folder (default: %(default)s)")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the pictures that the command writes to the folder `--out`."""
    return [Path(args.out) / f"{name}.png" for name in SETS]


def run(args: argparse.Namespace) -> int:
    """Draw heads.png, turned.png and occluders.png; return 1 if a photo failed, else 0."""
    folder = picture_folder(args.out)
    lines: list[str] = []
    failed = False
    for name in SETS:
        page, failures = head_sheet(args.photos, name, texture=args.texture, size=args.size, device=args.device)
        save_image(page, folder / f"{name}.png")
        lines += [*failures, str(folder / f"{name}.png")]
        failed |= bool(failures)
    show("\n".join(lines))
    return 1 if failed else 0
