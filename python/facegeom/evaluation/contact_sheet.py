"""`facegeom evaluate contact-sheet`: 24 test photos and what facegeom makes of them, on one sheet to be looked at."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray
from facegeom.errors import FacegeomError
from facegeom.images.camera import Camera
from facegeom.images.crop import crop_image
from facegeom.images.face_maps import FaceMaps
from facegeom.images.image_files import load_image, save_image
from facegeom.measures.report import picture_folder, sheet, show
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.pipelines import DEFAULT_PIPELINE, PIPELINES
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

DETAIL_PHOTOS = {
    kind: PHOTOS[kind]
    for kind in (
        "old, hat", "old", "turned, old", "laughing", "gray beard", "beard", "profile, beard, glasses", "glasses",
        "frontal, dark skin", "frontal, hard light", "frontal, young",
    )
} | {"old, frontal": "Arnold_Palmer_0001.jpg"}  # fmt: skip
"""Photos to look at fine detail on: wrinkles are wanted, brows and beards are not."""

SHEET_COLUMNS = 2  # photos side by side
CLOSE_UP = 0.55  # of the mesh's extent
FACE = Frame((0.0, -28.0, 0.0), 230.0)  # shows any face, so that those of several pipelines are of one scale


class Reconstructed(Protocol):
    """What the sheet shows of a reconstruction."""

    @property
    def mesh(self) -> FaceMesh:
        """The final mesh."""

    @property
    def maps(self) -> FaceMaps | None:
        """The network's maps."""

    @property
    def stages(self) -> Mapping[str, FaceMesh]:
        """The mesh after each step."""

    @property
    def camera(self) -> Camera:
        """Face frame -> photo."""


Reconstructor = Callable[[ByteArray], Reconstructed]
Draw = Callable[[ByteArray, int], dict[str, ByteArray]]


def contact_sheet(
    photos: str | Path, reconstruct: Reconstructor, *, size: int = 160, detail: bool = False
) -> tuple[ByteArray, list[str]]:
    """Draw the sheet: photo, depth, correspondence, and the mesh from three sides as clay and with its colours.

    Parameters
    ----------
    photos : folder with the photos of `PHOTOS` somewhere below
    reconstruct : from an (h, w, 3) uint8 photo to its reconstruction
    size : of one tile, pixels
    detail : instead, the photos of `DETAIL_PHOTOS`: the first, the second last and the last stage as photographed (of a
        mesh network all four deformations), and close-ups of the last and of the photo

    Returns
    -------
    sheet : (h, w, 3) uint8 array
    failures : one line a photo that could not be reconstructed; its row stays empty

    Raises
    ------
    FacegeomError
        When a photo is not there.
    """
    wanted, pictures = (DETAIL_PHOTOS, _stages) if detail else (PHOTOS, _pictures)

    def draw(photo: ByteArray, size: int) -> dict[str, ByteArray]:
        return pictures(reconstruct(photo), photo, size)

    return _sheet(photos, wanted, [draw], size)


def side_by_side(
    photos: str | Path, reconstructors: Mapping[str, Reconstructor], *, size: int = 160
) -> tuple[ByteArray, list[str]]:
    """Draw what several pipelines make of `PHOTOS`: each mesh as photographed, and from the side with its colours.

    Parameters
    ----------
    photos : folder with the photos somewhere below
    reconstructors : name of a pipeline -> from an (h, w, 3) uint8 photo to its reconstruction
    size : of one tile, pixels

    Returns
    -------
    sheet, failures : as `contact_sheet` does; where one pipeline fails its tiles stay empty

    Raises
    ------
    FacegeomError
        When a photo is not there.
    """

    def drawer(name: str, reconstruct: Reconstructor) -> Draw:
        def draw(photo: ByteArray, size: int) -> dict[str, ByteArray]:
            rec = reconstruct(photo)
            side = turn(VIEWS["three-quarter"] if rec.camera.rotation[0, 2] >= 0 else -VIEWS["three-quarter"])
            return {
                name: render_mesh(rec.mesh, rec.camera.rotation, size=size, frame=FACE),
                f"{name}, colours": render_mesh(rec.mesh, side, size=size, frame=FACE, colors=True),
            }

        return draw

    return _sheet(photos, PHOTOS, [drawer(name, reconstruct) for name, reconstruct in reconstructors.items()], size)


def _sheet(
    photos: str | Path, wanted: Mapping[str, str], draws: Sequence[Draw], size: int
) -> tuple[ByteArray, list[str]]:
    """Draw rows of tiles: the photo, then what each of `draws` makes of it."""
    places = {path.name: path for path in sorted(Path(photos).rglob("*.jpg"))}
    missing = [name for name in wanted.values() if name not in places]
    if missing:
        raise FacegeomError(f"{len(missing)} of the sheet's {len(wanted)} photos are not below {photos}: {missing[0]}")
    cells: list[list[dict[str, ByteArray]]] = []  # by photo, then by draw
    failures = []
    for kind, name in tqdm(wanted.items(), desc="contact sheet", unit="photo"):
        photo = load_image(places[name])
        row = [{kind: photo}]
        for draw in draws:
            try:
                row.append(draw(photo, size))
            except FacegeomError as error:
                failures.append(f"{name}: {error}")
                row.append({})
        cells.append(row)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    nothing = np.zeros((size, size, 3), np.uint8)
    tiles, captions = [], []
    for row in cells:
        for cell, width in zip(row, widths, strict=True):
            tiles += [*cell.values(), *[nothing] * (width - len(cell))]
            captions += [*cell, *[""] * (width - len(cell))]
    return sheet(tiles, sum(widths) * SHEET_COLUMNS, size, captions), failures


def _pictures(rec: Reconstructed, _: ByteArray, size: int) -> dict[str, ByteArray]:
    empty = np.zeros((size, size, 3), np.uint8)
    tiles = {
        "depth": empty if rec.maps is None else depth_picture(rec.maps),
        "correspondence": empty if rec.maps is None else correspondence_picture(rec.maps),
    }
    frame = Frame.around(rec.mesh)
    for kind, colors in (("", False), (", colours", True)):
        for view, yaw in VIEWS.items():
            tiles[view + kind] = render_mesh(rec.mesh, turn(yaw), size=size, frame=frame, colors=colors)
    return tiles


def _stages(rec: Reconstructed, photo: ByteArray, size: int) -> dict[str, ByteArray]:
    names = list(rec.stages)
    shown = names if names[0] == "deformed1" else [names[0], names[-2], names[-1]]
    whole, near = Frame.around(rec.mesh), Frame.around(rec.mesh, CLOSE_UP)
    rotation = rec.camera.rotation
    tiles = {name: render_mesh(rec.stages[name], rotation, size=size, frame=whole) for name in shown}
    tiles["close-up"] = render_mesh(rec.mesh, rotation, size=size, frame=near)
    middle, half = rec.camera.project([near.center])[0], 0.5 * near.extent * rec.camera.scale
    tiles["photo"] = crop_image(photo, [*(middle - half), *(middle + half)], size)
    return tiles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate contact-sheet`."""
    parser.add_argument("folder", metavar="PHOTOS", help="folder of the LFW photos")
    parser.add_argument(
        "--pipeline",
        choices=PIPELINES,
        default=DEFAULT_PIPELINE,
        help="as in facegeom.reconstruct (default: %(default)s)",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--detail", action="store_true", help="stages and close-ups of twelve photos instead")
    kind.add_argument("--side-by-side", action="store_true", help="every pipeline's mesh beside the others' instead")
    parser.add_argument("--device", default="cpu", help="where the networks run (default: %(default)s)")
    parser.add_argument("--size", type=int, default=160, help="of one picture, pixels (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", default="out", help="folder to write to (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Draw contact_sheet.png, detail_sheet.png or pipelines_sheet.png; 1 when a photo failed."""
    from facegeom.reconstruction import reconstruct

    def reconstructor(pipeline: str) -> Reconstructor:
        return lambda photo: reconstruct(photo, pipeline=pipeline, device=args.device)

    if args.side_by_side:
        name = "pipelines_sheet.png"
        everyone = {pipeline: reconstructor(pipeline) for pipeline in PIPELINES}
        page, failures = side_by_side(args.folder, everyone, size=args.size)
    else:
        name = "detail_sheet.png" if args.detail else "contact_sheet.png"
        page, failures = contact_sheet(args.folder, reconstructor(args.pipeline), size=args.size, detail=args.detail)
    target = picture_folder(args.out) / name
    save_image(page, target)
    show("\n".join([*failures, str(target)]))
    return 1 if failures else 0
