"""`facegeom evaluate heads`: whole heads of test photos from all sides, and what their textures are made of.

Each head is written to a GLB file and read back by trimesh's loader: what the sheets show is what a file holds.
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
from facegeom.evaluation.contact_sheet import PHOTOS
from facegeom.face_model.template import load_template
from facegeom.images.image_files import load_image, save_image
from facegeom.measures.report import picture_folder, sheet, show
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.reconstruction import Reconstruction, reconstruct
from facegeom.render import Frame, render_mesh, turn
from facegeom.texture.appearance import View
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
"""Sheets and the photos on them, as `PHOTOS` calls these: heads from four sides; photos that show one side of the face;
photos in which hands, glasses, hats or hair cover some of it."""

SIDES = {"front": 0.0, "to its left": 40.0, "to its right": -40.0, "back": 180.0}  # degrees of yaw
HIDDEN_YAW = 45.0  # degrees, to the side that a turned photo does not show
UNKNOWN = (128, 128, 128)  # texels that the photo does not show
COLUMNS = {"heads": 2, "turned": 1, "occluders": 1}  # photos in a row


@dataclass(frozen=True)
class HeadViews:
    """A head of a photo: read back from its file, and the texture with what of it is the photo's."""

    photo: ByteArray
    mesh: FaceMesh
    texture: ByteArray
    known: BoolArray
    yaw_deg: float  # positive when the subject's left side is turned away


def head_views(photo: ByteArray, size: int, device: str = "cpu") -> HeadViews:
    """Reconstruct the head of an (h, w, 3) uint8 photo with an atlas of (size, size) texels, through a GLB file.

    Raises
    ------
    NoFaceFound
        When there is none.
    """
    rec = reconstruct(photo, head=True, texture=size, device=device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "head.glb"
        rec.save(file)
        mesh = FaceMesh.load(file)
    template = load_template(head=True)
    painted = paint(template, View(photo, rec.maps, rec.camera, rec.mesh.vertices, template.fine), size)
    return HeadViews(photo, mesh, painted.texture, painted.known, _yaw_deg(rec))


def _yaw_deg(rec: Reconstruction) -> float:
    ahead = rec.camera.rotation[:, 2]  # where the face looks, camera frame
    return float(np.degrees(np.arctan2(ahead[0], ahead[2])))


def head_row(views: HeadViews, size: int) -> dict[str, ByteArray]:
    """Return the head from four sides."""
    frame = Frame.around(views.mesh)
    return {
        side: render_mesh(views.mesh, turn(yaw), size=size, frame=frame, colors=True) for side, yaw in SIDES.items()
    }


def texture_row(views: HeadViews, size: int) -> dict[str, ByteArray]:
    """Return the texture as the photo gives it and completed, and the head as photographed and from the hidden side."""
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
    """Draw one of `SETS`.

    Parameters
    ----------
    photos : folder with the photos of `contact_sheet.PHOTOS` somewhere below
    name : of the set
    texture : side of the atlas, texels
    size : of one picture, pixels
    device : where the networks run

    Returns
    -------
    sheet : (h, w, 3) uint8 array
    failures : one line a photo that could not be reconstructed; it is left out

    Raises
    ------
    FacegeomError
        When a photo is not there.
    """
    places = {path.name: path for path in sorted(Path(photos).rglob("*.jpg"))}
    kinds = SETS[check.choice(name, "name", tuple(SETS))]
    missing = [PHOTOS[kind] for kind in kinds if PHOTOS[kind] not in places]
    if missing:
        raise FacegeomError(f"{len(missing)} of the sheet's {len(kinds)} photos are not below {photos}: {missing[0]}")
    draw = head_row if name == "heads" else texture_row
    tiles: list[ByteArray] = []
    captions: list[str] = []
    failures = []
    for kind in tqdm(kinds, desc=name, unit="photo"):
        photo = load_image(places[PHOTOS[kind]])
        try:
            row = {kind: photo, **draw(head_views(photo, texture, device), size)}
        except FacegeomError as error:
            failures.append(f"{PHOTOS[kind]}: {error}")
            continue
        tiles += row.values()
        captions += row
    columns = COLUMNS[name] * 5
    return sheet(tiles, columns, size, captions), failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate heads`."""
    parser.add_argument("photos", metavar="PHOTOS", help="folder of the LFW photos")
    parser.add_argument("--texture", type=int, default=1024, help="side of the atlas (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="where the networks run (default: %(default)s)")
    parser.add_argument("--size", type=int, default=220, help="of one picture, pixels (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", default="out", help="folder to write to (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Draw heads.png, turned.png and occluders.png; 1 when a photo failed."""
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
