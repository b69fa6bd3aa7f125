"""`facegeom evaluate contact-sheet`: 24 test photos and what facegeom makes of them, on one sheet to be looked at."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from facegeom._check import ByteArray
from facegeom.errors import FacegeomError
from facegeom.evaluation.report import picture_folder, sheet, show
from facegeom.io import load_image, save_image
from facegeom.maps import FaceMaps
from facegeom.mesh import FaceMesh
from facegeom.pipeline import PIPELINES
from facegeom.render import VIEWS, Frame, correspondence_picture, depth_picture, render_mesh, turn

PHOTOS = {
    "frontal, light skin": "Carla_Tricoli_0001.jpg",
    "frontal, young": "Tanya_Lindenmuth_0001.jpg",
    "frontal, dark skin": "Joseph_Kabila_0001.jpg",
    "frontal, hard light": "Namuddu_Florence_0001.jpg",
    "frontal, shadows": "Tian_Liang_0001.jpg",
    "child": "Taia_Balk_0001.jpg",
    "turned, hat": "Drew_Barrymore_0001.jpg",
    "turned far, grimace": "Felix_Mantilla_0001.jpg",
    "profile, beard, glasses": "Thor_Pedersen_0001.jpg",
    "turned, dark skin": "Vince_Carter_0003.jpg",
    "turned, hand": "Patricia_Medina_0001.jpg",
    "turned, old": "Bill_Clinton_0025.jpg",
    "mouth wide open": "Colleen_Jones_0001.jpg",
    "laughing": "Eric_Idle_0001.jpg",
    "mouth open, turned": "Alberto_Acosta_0001.jpg",
    "from below": "Tatiana_Gratcheva_0001.jpg",
    "beard": "Brian_Heidik_0001.jpg",
    "beard, turned": "Uri_Lopolianski_0001.jpg",
    "gray beard": "Robert_De_Niro_0004.jpg",
    "glasses": "Carolyn_Kuhl_0001.jpg",
    "sunglasses": "Mia_Mottley_0001.jpg",
    "glasses, dark skin": "Paul_Kagame_0002.jpg",
    "old": "Jeane_Kirkpatrick_0001.jpg",
    "old, hat": "Compay_Segundo_0001.jpg",
}
"""Photos of the test identities (LFW), picked by eye before any network had seen them, and what each is there for."""

SHEET_COLUMNS = 2  # photos side by side


class Reconstructed(Protocol):
    """What the sheet shows of a reconstruction."""

    @property
    def mesh(self) -> FaceMesh:
        """The final mesh."""

    @property
    def maps(self) -> FaceMaps | None:
        """The network's maps."""


Reconstructor = Callable[[ByteArray], Reconstructed]


def contact_sheet(photos: str | Path, reconstruct: Reconstructor, *, size: int = 160) -> tuple[ByteArray, list[str]]:
    """Draw the sheet: photo, depth, correspondence, and the mesh from three sides as clay and with its colours.

    Parameters
    ----------
    photos : folder with the photos of `PHOTOS` somewhere below
    reconstruct : from an (h, w, 3) uint8 photo to its reconstruction
    size : of one tile, pixels

    Returns
    -------
    sheet : (h, w, 3) uint8 array
    failures : one line a photo that could not be reconstructed; its row stays empty

    Raises
    ------
    FacegeomError
        When a photo is not there.
    """
    places = {path.name: path for path in sorted(Path(photos).rglob("*.jpg"))}
    missing = [name for name in PHOTOS.values() if name not in places]
    if missing:
        raise FacegeomError(f"{len(missing)} of the sheet's {len(PHOTOS)} photos are not below {photos}: {missing[0]}")
    tiles: list[ByteArray] = []
    captions: list[str] = []
    failures = []
    views = [f"{view}{kind}" for kind in ("", ", colours") for view in VIEWS]
    for kind, name in tqdm(PHOTOS.items(), desc="contact sheet", unit="photo"):
        photo = load_image(places[name])
        captions += [kind, "depth", "correspondence", *views]
        try:
            tiles += [photo, *_pictures(reconstruct(photo), size)]
        except FacegeomError as error:
            failures.append(f"{name}: {error}")
            tiles += [photo, *[np.zeros((size, size, 3), np.uint8)] * (2 + len(views))]
    return sheet(tiles, (3 + len(views)) * SHEET_COLUMNS, size, captions), failures


def _pictures(rec: Reconstructed, size: int) -> list[ByteArray]:
    empty = np.zeros((size, size, 3), np.uint8)
    maps = [empty, empty] if rec.maps is None else [depth_picture(rec.maps), correspondence_picture(rec.maps)]
    frame = Frame.around(rec.mesh)
    return maps + [
        render_mesh(rec.mesh, turn(yaw), size=size, frame=frame, colors=colors)
        for colors in (False, True)
        for yaw in VIEWS.values()
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate contact-sheet`."""
    parser.add_argument("folder", metavar="PHOTOS", help="folder of the LFW photos")
    parser.add_argument(
        "--pipeline", choices=PIPELINES, default=PIPELINES[0], help="as in facegeom.reconstruct (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="where the networks run (default: %(default)s)")
    parser.add_argument("--size", type=int, default=160, help="of one picture, pixels (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", default="out", help="folder to write to (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Draw contact_sheet.png; 1 when a photo failed."""
    from facegeom.pipeline import reconstruct

    page, failures = contact_sheet(
        args.folder,
        lambda photo: reconstruct(photo, pipeline=args.pipeline, device=args.device),
        size=args.size,
    )
    target = picture_folder(args.out) / "contact_sheet.png"
    save_image(page, target)
    show("\n".join([*failures, str(target)]))
    return 1 if failures else 0
