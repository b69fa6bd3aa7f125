"""`facegeom prepare diffused`: edited photos, each with the mesh of the fitted head under the same change.

GCN-IGAN paper, algorithm 1, steps 8 to 13. The label of an image is the fitted head with the change: the network drew
the image from a rendering of it. Whether the image shows its label is then checked by the networks of the package,
which were trained on real photos, and whether it is a copy of another photo by the embedding of one of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.files import write_npz
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.images.image_files import save_image
from facegeom.measures.distributions import nearest_features
from facegeom.measures.report import draw_points, sheet, write_json
from facegeom.networks.segmentation import load_segmentation
from facegeom.training.data.labels import add_labelled_photos
from facegeom.training.diffusion.conditions import HeadAttributes, posed
from facegeom.training.diffusion.diffused_set import (
    LABELS,
    REFERENCE,
    REPORT,
    SETTINGS,
    DiffusedSet,
    Limits,
    Made,
)
from facegeom.training.diffusion.editors import Editor, SamplingOptions, load_editor
from facegeom.training.diffusion.edits import KINDS, draw_edit, is_shown
from facegeom.training.diffusion.encoders import FaceEncoder
from facegeom.training.diffusion.head_photos import HeadPhotos
from facegeom.training.diffusion.label_check import label_distance

log = logging.getLogger("facegeom")

EMBEDDINGS = "embeddings.npz"
SHEET, MESH_SHEET = "sheet.png", "sheet_meshes.png"

REFERENCE_PHOTOS = 100
"""Held-out photos whose labels are checked like those of the images."""

LIGHTS = 200
"""Photos whose light the others get."""

SHOWN = 12
"""Photos on a sheet."""

DOT = (0, 255, 90)


def rows_of(total: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `total`, evenly spread."""
    return [int(row) for row in np.linspace(0, total - 1, min(most, total))]


class Preparation:
    """Makes a set.

    Parameters
    ----------
    editor : Editor
    training : HeadPhotos to change, whose embeddings are also those against which copies are looked for
    held_out : HeadPhotos of another part of the split
    kinds : changes of each photo
    seed : of all random numbers
    device : device of the networks that check the labels
    """

    def __init__(
        self,
        editor: Editor,
        training: HeadPhotos,
        held_out: HeadPhotos,
        kinds: Sequence[str],
        seed: int,
        device: str = "cpu",
    ) -> None:
        missing = [kind for kind in kinds if kind not in editor.kinds]
        if missing:
            raise FacegeomError(f"{editor.method} cannot make the change {missing[0]}: {', '.join(editor.kinds)}")
        stems = [Path(name).stem for name in training.names]
        if len(set(stems)) < len(stems):
            raise FacegeomError("two photos differ only in the suffix of their names, so that their images would, too")
        self.editor, self.training, self.held_out = editor, training, held_out
        self.kinds, self.seed, self.device = tuple(kinds), seed, device
        self.model: FaceModel = load_face_model()
        self.reader = HeadAttributes(self.model, load_segmentation())
        self.encoder = FaceEncoder(self.model)
        self.lights: Float32Array = np.zeros((0, 9), np.float32)
        self.embeddings: Float32Array = np.zeros((0, 0), np.float32)

    def references(self, folder: Path) -> Limits:
        """Return the limits from real photos, and keep light and embeddings of the training photos.

        What was measured is written to `folder`, and read from there when a run is resumed.
        """
        known, measured = folder / EMBEDDINGS, folder / REFERENCE
        if known.exists() and measured.exists():
            with np.load(known) as data:
                self.embeddings, self.lights = data["embeddings"], data["lights"]
            return Limits(**json.loads(measured.read_text(encoding="utf-8"))["limits"])
        size = self.editor.size
        self.embeddings = self.encoder.embed_photos(self.training, size, "training photos")
        crops = (self.training.crop(row, size) for row in rows_of(len(self.training), LIGHTS))
        self.lights = np.stack([self.reader.light(crop.image, crop.fit) for crop in crops])
        found = []
        for row in tqdm(rows_of(len(self.held_out), REFERENCE_PHOTOS), desc="labels of real photos", unit="photo"):
            crop = self.held_out.crop(row, size)
            found.append(label_distance(self.model, crop.image, crop.fit, self.device))
        others = self.encoder.embed_photos(self.held_out, size, "held-out photos")
        apart, _ = nearest_features(others, self.embeddings)
        strangers = np.linalg.norm(others[:, None] - self.embeddings[rows_of(len(self.embeddings), LIGHTS)], axis=2)
        seen = [distance for distance in found if distance is not None]
        limits = Limits.of(seen, apart, float(np.median(strangers)))
        write_npz(known, {"embeddings": self.embeddings, "lights": self.lights}, compressed=False)
        write_json(measured, {"synthetic": False, "limits": limits})
        return limits

    def make(self, item: int) -> tuple[list[ByteArray], list[Made]]:
        """Return the images of a photo and what is known of them; they depend on the name of the photo and the seed."""
        name = self.training.names[item]
        crop = self.training.crop(item, self.editor.size)
        attributes = self.reader.read(crop.image, crop.fit)
        number = zlib.crc32(name.encode())
        rng = np.random.default_rng([self.seed, number])
        edits = [draw_edit(self.model, kind, crop.fit, attributes, self.lights, rng) for kind in self.kinds]
        images = self.editor.edit(crop, attributes, edits, zlib.crc32(f"{self.seed} {name}".encode()))
        embedded = self.encoder.embed(images, [edit.fit for edit in edits])
        excluded = np.array([-1 if edit.kind == "person" else item for edit in edits])
        distances, rows = nearest_features(embedded, self.embeddings, excluded)
        made = [
            Made(
                f"{Path(name).stem}_{edit.kind}.png",
                edit.kind,
                name,
                edit.fit,
                label_distance(self.model, image, edit.fit, self.device),
                float(distance),
                self.training.names[int(row)],
                float(np.linalg.norm(seen - self.embeddings[item])),
                is_shown(edit, self.reader.read(image, edit.fit), attributes),
            )
            for edit, image, distance, row, seen in zip(edits, images, distances, rows, embedded, strict=True)
        ]
        return images, made

    def sheets(self, made: DiffusedSet) -> tuple[ByteArray, ByteArray]:
        """Return pictures of the first photos with their images: as they are, and with the meshes of the labels."""
        by_source: dict[str, list[Made]] = {}
        for one in made.made():
            by_source.setdefault(one.source, []).append(one)
        items = {name: item for item, name in enumerate(self.training.names)}
        plain: list[ByteArray] = []
        meshes: list[ByteArray] = []
        captions: list[str] = []
        for source in [name for name in sorted(by_source) if name in items][:SHOWN]:
            crop = self.training.crop(items[source], self.editor.size)
            pairs = [(crop.image, crop.fit)] + [(made.image(one), one.fit) for one in by_source[source]]
            plain += [image for image, _ in pairs]
            meshes += [self._with_mesh(image, fit) for image, fit in pairs]
            captions += ["photo", *(f"synthetic: {one.kind}" for one in by_source[source])]
        columns = 1 + len(self.kinds)
        return tuple(sheet(tiles, columns, self.editor.size, captions) for tiles in (plain, meshes))  # type: ignore[return-value]

    def _with_mesh(self, image: ByteArray, fit: Any) -> ByteArray:
        """Return an image with the normals of its label over one half of the brightness, and the 68 landmarks."""
        maps = self.reader.maps.full(fit, len(image))
        colours = np.rint(127.5 * (maps[:3].transpose(1, 2, 0) + 1))
        mixed = np.where(maps[-1][..., None] > 0, 0.5 * image + 0.5 * colours, image).clip(0, 255).astype(np.uint8)
        return draw_points(mixed, posed(self.model, fit).pixels()[self.model.landmarks68, :2], DOT, 0.7)


def prepare(preparation: Preparation, out: DiffusedSet, rows: Sequence[int], *, quiet: bool = False) -> dict[str, Any]:
    """Make the images of photos that the set does not have yet, and write labels, sheets and report; return the report.

    Raises
    ------
    FacegeomError
        If the check of the labels rejects too many images; images, sheets and report are written before.
    """
    limits = preparation.references(out.folder)
    for row in tqdm(rows, desc="diffused", unit="photo", disable=quiet):
        name = preparation.training.names[row]
        if not out.has(name):
            images, made = preparation.make(row)
            out.add(name, images, made, preparation.editor.method)
    for picture, file in zip(preparation.sheets(out), (SHEET, MESH_SHEET), strict=True):
        save_image(picture, out.folder / file)
    return out.finish(limits)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare diffused` to a parser."""
    defaults = SamplingOptions()
    add_labelled_photos(parser)
    parser.add_argument(
        "--weights",
        required=True,
        metavar="FILE",
        help="weight file of `facegeom train diffusion`, or of `facegeom train pix2pix`",
    )
    parser.add_argument("--out", "-o", default="runs/diffused", help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--edits",
        nargs="+",
        choices=KINDS,
        help="changes of each photo; person: another person with the same mesh, not with Pix2Pix (default: all)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="number of photos, evenly spread (default: all)")
    parser.add_argument(
        "--steps", type=int, default=defaults.steps, help="steps of DDIM, usually 20 to 50 (default: %(default)s)"
    )
    parser.add_argument(
        "--guidance", type=float, default=defaults.guidance, help="weight of the condition (default: %(default)s)"
    )
    parser.add_argument(
        "--eta", type=float, default=defaults.eta, help="share of random noise in each step (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default: %(default)s)")
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder `--out`, without the images and their records."""
    return [Path(args.out) / name for name in (SETTINGS, REFERENCE, EMBEDDINGS, LABELS, REPORT, SHEET, MESH_SHEET)]


def run(args: argparse.Namespace) -> int:
    """Make the set and print its report as JSON; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sampling = SamplingOptions(args.steps, args.guidance, args.eta)
    editor = load_editor(args.weights, sampling, args.device)
    kinds = tuple(dict.fromkeys(args.edits)) if args.edits else editor.kinds
    training, held_out = (HeadPhotos(Path(args.photos), Path(args.labels), part) for part in ("training", "validation"))
    preparation = Preparation(editor, training, held_out, kinds, check.count(args.seed, "--seed"), args.device)
    limit = len(training) if args.limit is None else check.count(args.limit, "--limit", 1)
    rows = rows_of(len(training), limit)
    settings = {
        "method": editor.method,
        "weights": hashlib.sha256(Path(args.weights).read_bytes()).hexdigest(),
        "labels": hashlib.sha256(Path(args.labels).read_bytes()).hexdigest(),
        "photos": hashlib.sha256(repr((training.names, held_out.names)).encode()).hexdigest(),
        "edits": kinds,
        "seed": args.seed,
        "sampling": vars(sampling),
    }
    print(json.dumps(_readable(prepare(preparation, DiffusedSet(Path(args.out), settings), rows))))
    return 0


def _readable(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report without the details by kind."""
    return {name: value for name, value in report.items() if name not in ("real", "by_kind")}
