"""`facegeom evaluate contact-sheet`: 24 test photos and their reconstructions in one picture, for visual inspection."""

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
from facegeom.images.pictures import correspondence_picture, depth_picture
from facegeom.measures.report import sheet, show
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.pipelines import DEFAULT_PIPELINE, PIPELINES
from facegeom.render import VIEWS, Frame, render_mesh, turn

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
"""Property of a face or photo -> file name in LFW of the photo that shows it.

The photos show test identities. They were selected by hand before any network was evaluated.
"""

DETAIL_PHOTOS = {
    kind: PHOTOS[kind]
    for kind in (
        "old, hat", "old", "turned, old", "laughing", "gray beard", "beard", "profile, beard, glasses", "glasses",
        "frontal, dark skin", "frontal, hard light", "frontal, young",
    )
} | {"old, frontal": "Arnold_Palmer_0001.jpg"}  # fmt: skip
"""Photos for the inspection of fine detail: the relief should contain wrinkles, but not eyebrows or beards."""

PEOPLE = (
    "sfhq_1579", "sfhq_0551", "sfhq_1265", "sfhq_0581", "sfhq_0051", "sfhq_1529",
    "sfhq_0876", "sfhq_0420", "sfhq_0867", "sfhq_0772", "sfhq_0634", "sfhq_1460",
    "sfhq_0598", "congress_0196", "congress_0425", "congress_0343", "congress_0624", "congress_0778",
    "congress_0709", "congress_0111", "congress_0142", "generated_0075", "generated_0030", "generated_0092",
)  # fmt: skip
"""Names, without suffix, of portraits of the test set: men and women of all ages and colours of skin, beards, glasses,
closed eyes and wide mouths. Their heads are drawn without colours in one scale, so that only the shape differs."""

SHEET_COLUMNS = 2  # number of photos per row of the sheet
CLOSE_UP = 0.55  # extent of a close-up, as a fraction of the extent of the mesh
FACE = Frame((0.0, -28.0, 0.0), 230.0)  # one region for all meshes, so that all pipelines have one scale
HEAD = Frame((0.0, -20.0, -20.0), 265.0)  # the same for complete heads


class Reconstructed(Protocol):
    """The parts of a reconstruction that the sheet shows."""

    @property
    def mesh(self) -> FaceMesh:
        """The final mesh."""

    @property
    def maps(self) -> FaceMaps | None:
        """The maps that the network predicted."""

    @property
    def stages(self) -> Mapping[str, FaceMesh]:
        """Name of a stage -> mesh after this stage, in the order of the stages."""

    @property
    def camera(self) -> Camera:
        """Camera from the face frame to pixels of the photo."""


Reconstructor = Callable[[ByteArray], Reconstructed]
Draw = Callable[[ByteArray, int], dict[str, ByteArray]]


def contact_sheet(
    photos: str | Path, reconstruct: Reconstructor, *, size: int = 160, detail: bool = False
) -> tuple[ByteArray, list[str]]:
    """Draw the contact sheet: photos and their reconstructions.

    Each row shows the photo, depth, correspondence, and the mesh from three directions, without and with colours.

    Parameters
    ----------
    photos : folder that contains the photos of `PHOTOS`, also in subfolders
    reconstruct : function from an (h, w, 3) uint8 photo to its reconstruction
    size : side length of each square picture, pixels
    detail : True: draw the photos of `DETAIL_PHOTOS` instead. Each row shows the first, the last but one and the last
        stage in the pose of the photo (for mesh networks: the four deformations), and close-ups of the mesh and photo

    Returns
    -------
    sheet : (h, w, 3) uint8 array
    failures : one message per photo that could not be reconstructed; the pictures of this photo stay empty

    Raises
    ------
    FacegeomError
        If a photo does not exist.
    """
    wanted, pictures = (DETAIL_PHOTOS, _stages) if detail else (PHOTOS, _pictures)

    def draw(photo: ByteArray, size: int) -> dict[str, ByteArray]:
        return pictures(reconstruct(photo), photo, size)

    return _sheet(photos, wanted, [draw], size)


def side_by_side(
    photos: str | Path, reconstructors: Mapping[str, Reconstructor], *, size: int = 160
) -> tuple[ByteArray, list[str]]:
    """Draw the photos of `PHOTOS` with the reconstructions of several pipelines side by side.

    Each mesh is drawn twice: without colours in the pose of the photo, and with colours, turned to one side.

    Parameters
    ----------
    photos : folder that contains the photos of `PHOTOS`, also in subfolders
    reconstructors : name of a pipeline -> function from an (h, w, 3) uint8 photo to its reconstruction
    size : side length of each square picture, pixels

    Returns
    -------
    sheet : (h, w, 3) uint8 array
    failures : one message per failed reconstruction; the pictures of this reconstruction stay empty

    Raises
    ------
    FacegeomError
        If a photo does not exist.
    """

    def drawing_function(name: str, reconstruct: Reconstructor) -> Draw:
        def draw(photo: ByteArray, size: int) -> dict[str, ByteArray]:
            rec = reconstruct(photo)
            side = turn(VIEWS["three-quarter"] if rec.camera.rotation[0, 2] >= 0 else -VIEWS["three-quarter"])
            return {
                name: render_mesh(rec.mesh, rec.camera.rotation, size=size, frame=FACE),
                f"{name}, colours": render_mesh(rec.mesh, side, size=size, frame=FACE, colors=True),
            }

        return draw

    draws = [drawing_function(name, reconstruct) for name, reconstruct in reconstructors.items()]
    return _sheet(photos, PHOTOS, draws, size)


def people_sheet(photos: str | Path, reconstruct: Reconstructor, *, size: int = 160) -> tuple[ByteArray, list[str]]:
    """Draw the portraits of `PEOPLE` with their heads, without colours, from the front and from two sides.

    Parameters
    ----------
    photos : folder that contains the portraits of `PEOPLE`, also in subfolders
    reconstruct : function from an (h, w, 3) uint8 photo to the reconstruction of a complete head
    size : side length of each square picture, pixels

    Returns
    -------
    sheet : (h, w, 3) uint8 array
    failures : one message per portrait that could not be reconstructed; the pictures of this portrait stay empty

    Raises
    ------
    FacegeomError
        If a portrait does not exist.
    """

    def draw(photo: ByteArray, size: int) -> dict[str, ByteArray]:
        mesh = reconstruct(photo).mesh
        return {view: render_mesh(mesh, turn(yaw), size=size, frame=HEAD) for view, yaw in VIEWS.items()}

    return _sheet(photos, {name: f"{name}.jpg" for name in PEOPLE}, [draw], size)


def find_sheet_photos(folder: str | Path, names: Mapping[str, str]) -> dict[str, Path]:
    """Find the photos of a sheet.

    Parameters
    ----------
    folder : folder that contains the photos, also in subfolders
    names : property of a photo -> file name

    Returns
    -------
    dict
        Property of a photo -> path, in the order of `names`.

    Raises
    ------
    FacegeomError
        If a photo does not exist.
    """
    paths = {path.name: path for path in sorted(Path(folder).rglob("*.jpg"))}
    missing = [name for name in names.values() if name not in paths]
    if missing:
        raise FacegeomError(
            f"{len(missing)} of the {len(names)} photos of the sheet are missing in {folder}, the first is {missing[0]}"
        )
    return {key: paths[name] for key, name in names.items()}


def _sheet(
    photos: str | Path, wanted: Mapping[str, str], draws: Sequence[Draw], size: int
) -> tuple[ByteArray, list[str]]:
    """Return the contact sheet (h, w, 3) uint8, and one message per failed reconstruction.

    The sheet shows each photo, followed by the pictures that each function of `draws` returns for this photo.
    """
    paths = find_sheet_photos(photos, wanted)
    cells: list[list[dict[str, ByteArray]]] = []  # for each photo: the photo, then the results of each draw function
    failures = []
    for kind, path in tqdm(paths.items(), desc="contact sheet", unit="photo"):
        photo = load_image(path)
        row = [{kind: photo}]
        for draw in draws:
            try:
                row.append(draw(photo, size))
            except FacegeomError as error:
                failures.append(f"{path.name}: {error}")
                row.append({})
        cells.append(row)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    empty = np.zeros((size, size, 3), np.uint8)
    tiles, captions = [], []
    for row in cells:
        for cell, width in zip(row, widths, strict=True):
            tiles += [*cell.values(), *[empty] * (width - len(cell))]
            captions += [*cell, *[""] * (width - len(cell))]
    return sheet(tiles, sum(widths) * SHEET_COLUMNS, size, captions), failures


def _pictures(rec: Reconstructed, _: ByteArray, size: int) -> dict[str, ByteArray]:
    """Return the pictures of one photo in the contact sheet: caption -> square RGB picture."""
    empty = np.zeros((size, size, 3), np.uint8)
    tiles = {
        "depth": empty if rec.maps is None else depth_picture(rec.maps.depth),
        "correspondence": empty if rec.maps is None else correspondence_picture(rec.maps.correspondence),
    }
    frame = Frame.around(rec.mesh)
    for kind, colors in (("", False), (", colours", True)):
        for view, yaw in VIEWS.items():
            tiles[view + kind] = render_mesh(rec.mesh, turn(yaw), size=size, frame=frame, colors=colors)
    return tiles


def _stages(rec: Reconstructed, photo: ByteArray, size: int) -> dict[str, ByteArray]:
    """Return the pictures of one photo in the sheet of details: caption -> (size, size, 3) uint8 picture."""
    names = list(rec.stages)
    shown = names if names[0] == "deformed1" else [names[0], names[-2], names[-1]]  # deformed1: mesh networks
    whole, near = Frame.around(rec.mesh), Frame.around(rec.mesh, CLOSE_UP)
    rotation = rec.camera.rotation
    tiles = {name: render_mesh(rec.stages[name], rotation, size=size, frame=whole) for name in shown}
    tiles["close-up"] = render_mesh(rec.mesh, rotation, size=size, frame=near)
    middle, half = rec.camera.project([near.center])[0], 0.5 * near.extent * rec.camera.scale
    tiles["photo"] = crop_image(photo, [*(middle - half), *(middle + half)], size)
    return tiles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate contact-sheet`."""
    parser.add_argument(
        "folder", metavar="PHOTOS", help="folder with the photos (LFW; the portraits for --people), also in subfolders"
    )
    parser.add_argument(
        "--pipeline", choices=PIPELINES, default=DEFAULT_PIPELINE, help="reconstruction method (default: %(default)s)"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--detail", action="store_true", help="draw the stages and close-ups of twelve photos instead")
    kind.add_argument(
        "--side-by-side", action="store_true", help="draw the meshes of all pipelines side by side instead"
    )
    kind.add_argument(
        "--people", action="store_true", help="draw heads of 24 test portraits without colours in one scale instead"
    )
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, default=160, help="side length of each square picture in pixels (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="DIR", default="out", help="output folder (default: %(default)s)")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the picture that the command writes to the folder `--out`."""
    kinds = {"pipelines": args.side_by_side, "detail": args.detail, "people": args.people}
    name = next((kind for kind, wanted in kinds.items() if wanted), "contact")
    return [Path(args.out) / f"{name}_sheet.png"]


def run(args: argparse.Namespace) -> int:
    """Draw the sheet that the options select; return 1 if a photo failed, else 0."""
    from facegeom.reconstruction import reconstruct

    def reconstructor(pipeline: str, *, head: bool = False) -> Reconstructor:
        return lambda photo: reconstruct(photo, pipeline=pipeline, head=head, device=args.device)

    if args.side_by_side:
        reconstructors = {pipeline: reconstructor(pipeline) for pipeline in PIPELINES}
        page, failures = side_by_side(args.folder, reconstructors, size=args.size)
    elif args.people:
        page, failures = people_sheet(args.folder, reconstructor(args.pipeline, head=True), size=args.size)
    else:
        page, failures = contact_sheet(args.folder, reconstructor(args.pipeline), size=args.size, detail=args.detail)
    (target,) = output_files(args)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_image(page, target)
    show("\n".join([*failures, str(target)]))
    return 1 if failures else 0
