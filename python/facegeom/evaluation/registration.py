"""`facegeom evaluate registration`: effect of the template registration, on rendered heads and on photos.

On ICT heads with seven expressions, the benchmark measures the depth error of the maps of the network and of the
template registered to these maps (Sela et al. 2017, table 2), also after a fifth of the maps was erased. On photos, it
counts the self-intersections of the mesh.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation.ict_heads import HeadRenderer, RandomHeadOptions
from facegeom.evaluation.pipeline import held_out_photos
from facegeom.evaluation.registration_sheet import projection_pictures, textured_photo
from facegeom.face_model import load_face_model
from facegeom.face_model.template import load_template
from facegeom.images.image_files import load_image, save_image
from facegeom.measures.metrics import map_error
from facegeom.measures.predictor import MAP_PIPELINES, add_common_arguments, load_network
from facegeom.measures.registered import register_crop
from facegeom.measures.report import picture_folder, sheet, show, table, write_json
from facegeom.networks.interface import MapNetwork
from facegeom.pipelines import pix2vertex
from facegeom.pipelines.interface import PipelineOptions
from facegeom.pipelines.map_options import MapOptions
from facegeom.pipelines.map_prediction import predict_maps
from facegeom.pipelines.pix2vertex import WarpOptions, register_template, target_mesh
from facegeom.pipelines.template_stages import fitted_vertices
from facegeom.training.data.labels import find_photos
from facegeom.training.data.renderer import Sample
from facegeom.training.data.texture_model import TextureModel

EXPRESSIONS: dict[str, dict[str, float]] = {
    "anger": {"browDown": 1.0, "noseSneer": 0.5, "eyeSquint": 0.5, "mouthPress": 0.6},
    "disgust": {"noseSneer": 1.0, "mouthUpperUp": 0.7, "browDown": 0.5, "eyeSquint": 0.5},
    "fear": {"browInnerUp": 1.0, "eyeWide": 0.8, "mouthStretch": 0.7, "jawOpen": 0.25},
    "happy": {"mouthSmile": 0.9, "cheekSquint": 0.7, "mouthUpperUp": 0.3, "jawOpen": 0.1},
    "neutral": {},
    "sad": {"browInnerUp": 0.8, "mouthFrown": 0.8, "mouthShrugLower": 0.4},
    "surprise": {"browInnerUp": 0.8, "browOuterUp": 0.9, "eyeWide": 0.7, "jawOpen": 0.6},
}
"""Expressions of table 2 of Sela et al. 2017 -> weights of ICT expression shapes, equal for left and right."""

SUBJECTS = 10  # number of identities rendered with each expression
SHEET_PHOTOS, SHEET_SIZE = 8, 200  # number of photos on the sheet, picture side in pixels
ERASED = 0.2  # share of the mask pixels that is erased
HEADS = RandomHeadOptions(max_yaw_deg=20.0, pitch_deg=5.0, roll_deg=5.0)  # near frontal, as in the paper


@dataclass(frozen=True)
class HeadResult:
    """The depth errors of one head; NaN if the registration found no face.

    Attributes
    ----------
    expression : key of `EXPRESSIONS`
    subject : number of the identity
    maps : depth error of the maps of the network, percent of the depth range
    registered : depth error of the registered template, percent of the depth range
    completed_mm : depth error in the erased region, mm, after registration to the remaining part of the maps
    not_erased_mm : depth error in the region of `completed_mm`, mm, after registration to the complete maps
    """

    expression: str
    subject: int
    maps: float
    registered: float
    completed_mm: float
    not_erased_mm: float


def expression_heads(path: str, size: int) -> Iterator[tuple[str, int, Sample, np.random.Generator]]:
    """Yield the same `SUBJECTS` heads with each expression.

    Parameters
    ----------
    path : path of the file `ict_face_model.npz`
    size : side length of the square images, pixels

    Yields
    ------
    expression, subject, sample, rng : str, int, Sample, and the random generator after rendering the sample
    """
    renderer = HeadRenderer(path, HEADS)
    head = renderer.head
    for name, mix in EXPRESSIONS.items():
        weights = np.array(
            [mix.get(str(shape).removesuffix("_L").removesuffix("_R"), 0.0) for shape in head.expression_names]
        )
        for subject in range(SUBJECTS):
            rng = np.random.default_rng([subject, 1])  # independent of the expression
            vertices = head.sample(rng.normal(0, HEADS.identity_sigma, len(head.identity)), weights)
            yield name, subject, renderer.posed(vertices, rng, size)[0], rng


def evaluate_head(name: str, subject: int, sample: Sample, network: MapNetwork, rng: np.random.Generator) -> HeadResult:
    """Return the depth errors of one head.

    Parameters
    ----------
    name : name of the expression
    subject : number of the identity
    sample : the image and its exact maps
    network : the network whose maps are evaluated
    rng : random generator that chooses the erased region
    """
    maps = network.predict(sample.image[None])
    depth, correspondence = maps.depth[0], maps.correspondence[0]
    mask: BoolArray = np.asarray(maps.mask_probability[0] > MapOptions().threshold)
    erased = erased_disc(mask, rng)
    complete = register_crop(sample.image, depth, correspondence, mask)
    partial = register_crop(sample.image, depth, correspondence, mask & ~erased)
    if complete is None or partial is None:
        nan = float("nan")
        return HeadResult(name, subject, _error(depth, mask, sample), nan, nan, nan)
    region = erased & sample.mask & complete.mask & partial.mask
    around = sample.mask & complete.mask & partial.mask & mask & ~erased
    return HeadResult(
        name,
        subject,
        _error(depth, mask, sample),
        _error(complete.depth, complete.mask, sample),
        _shifted_error(partial.depth, sample, region, around),
        _shifted_error(complete.depth, sample, region, around),
    )


def erased_disc(mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Return the share `ERASED` of mask pixels nearest to a randomly chosen mask pixel, as (h, w) bool array."""
    rows, columns = np.nonzero(mask)
    chosen = int(rng.integers(len(rows)))
    distance = np.hypot(rows - rows[chosen], columns - columns[chosen])
    disc = np.zeros_like(mask)
    near = distance <= np.quantile(distance, ERASED)
    disc[rows[near], columns[near]] = True
    return disc


def _error(depth: FloatArray, mask: BoolArray, sample: Sample) -> float:
    """Return the depth error of a depth map (S, S) against the true depth of the sample, in percent of its range.

    The error is `MapError.depth`; `mask` (S, S) marks the valid pixels of `depth`.
    """
    correspondence = np.nan_to_num(sample.correspondence)
    return map_error(depth, correspondence, mask, sample.depth, correspondence, sample.mask).depth


def _shifted_error(depth: FloatArray, sample: Sample, pixels: BoolArray, around: BoolArray) -> float:
    """Return the mean absolute error of `depth` (S, S) at `pixels` against the true depth of the sample, mm.

    The mean difference of the two depth maps at the pixels `around` is subtracted first.
    """
    if not pixels.any() or not around.any():
        return float("nan")
    difference = depth - sample.depth
    return float(np.abs(difference[pixels] - difference[around].mean()).mean())


def self_intersections(V: FloatArray, F: IntArray) -> int:
    """Return the number of triangles that intersect another triangle, counted by MeshLab.

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array
    """
    import pymeshlab

    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(V, F))
    meshes.compute_selection_by_self_intersections_per_face()
    return int(meshes.current_mesh().selected_face_number())


def count_on_photos(photos: str, count: int, network: MapNetwork) -> dict[str, Any]:
    """Count the self-intersections of the skin in reconstructions of photos of test identities.

    Parameters
    ----------
    photos : folder that contains the photos
    count : largest number of evaluated photos
    network : the network whose maps the template is registered to

    Returns
    -------
    dict
        "photos": number of photos with a face; "with": stage -> number of photos with self-intersections; "triangles":
        stage -> number of intersecting triangles in all photos; "by_photo": the numbers of the affected photos. The
        stages are "aligned", "registered" and "detailed".
    """
    template = load_template()
    coarse, fine = template.coarse, template.fine
    rows = {}
    for name, path in tqdm(held_out_photos(find_photos(photos), count).items(), unit="photo"):
        photo = load_image(path)
        try:
            prediction = predict_maps(photo, network=network)
        except NoFaceFound:
            continue
        stages = pix2vertex.run(photo, prediction, PipelineOptions()).meshes
        rows[name] = {
            "aligned": self_intersections(stages["aligned"].vertices[: coarse.skin_count], coarse.skin_faces),
            "registered": self_intersections(stages["registered"].vertices[: coarse.skin_count], coarse.skin_faces),
            "detailed": self_intersections(stages["detailed"].vertices[: fine.skin_count], fine.skin_faces),
        }
    names = ("aligned", "registered", "detailed")
    return {
        "photos": len(rows),
        "with": {stage: sum(row[stage] > 0 for row in rows.values()) for stage in names},
        "triangles": {stage: sum(row[stage] for row in rows.values()) for stage in names},
        "by_photo": {name: row for name, row in rows.items() if any(row.values())},
    }


def photo_sheet(photos: str, texture_model: str, network: MapNetwork) -> ByteArray:
    """Return a sheet of photos of test identities: photo, mean texture, and three pictures of the registered skin.

    The three pictures are those of `projection_pictures`.

    Parameters
    ----------
    photos : folder that contains the photos
    texture_model : file written by `facegeom prepare texture-model`
    network : the network whose maps are used

    Returns
    -------
    (H, W, 3) uint8 array
        For each photo: the crop, the crop with the mean texture (`textured_photo`), and `projection_pictures`.
    """
    model, template = load_face_model(), load_template()
    mean = TextureModel.load(texture_model).mean.astype(np.float64)
    captions: list[str] = []
    pictures: list[ByteArray] = []
    for path in held_out_photos(find_photos(photos), SHEET_PHOTOS).values():
        prediction = predict_maps(load_image(path), network=network)
        maps, camera = prediction.maps, prediction.camera
        target = target_mesh(maps, camera, WarpOptions().max_edge_mm)
        aligned = fitted_vertices(model, prediction.fit)[template.vertices]
        skin = register_template(template, aligned, target)[: template.coarse.skin_count]
        row = {"photo": maps.image, "mean texture": textured_photo(maps, mean)}
        row |= projection_pictures(skin, camera.rotation, SHEET_SIZE)
        captions += list(row)
        pictures += list(row.values())
    return sheet(pictures, len(pictures) // SHEET_PHOTOS * 2, SHEET_SIZE, captions)


def summarise(results: list[HeadResult]) -> dict[str, Any]:
    """Return the mean errors of each expression and of all heads; heads with NaN are ignored."""
    rows = [*((name, [r for r in results if r.expression == name]) for name in EXPRESSIONS), ("all", results)]
    return {
        "benchmark": "registration",
        "expressions": [
            {"expression": name}
            | {
                field: float(np.nanmean([getattr(r, field) for r in members]))
                for field in ("maps", "registered", "completed_mm", "not_erased_mm")
            }
            for name, members in rows
            if members
        ],
    }


def format_summary(summary: dict[str, Any]) -> str:
    """Return the errors and the counts of self-intersections as text tables."""
    parts = []
    if "expressions" in summary:
        header = ["depth error", "maps, % of range", "registered, %", "erased region, mm", "same, not erased, mm"]
        parts.append(table(header, [list(row.values()) for row in summary["expressions"]]))
    if "photos" in summary:
        counts = summary["photos"]
        rows: list[list[str | float | int]] = [
            [stage, counts["with"][stage], counts["triangles"][stage]] for stage in counts["with"]
        ]
        header = [f"skin, {counts['photos']} photos", "with self-intersections", "intersecting triangles"]
        parts.append(table(header, rows))
    return "\n\n".join(parts)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate registration`."""
    parser.add_argument(
        "photos",
        metavar="PHOTOS",
        nargs="?",
        help="folder that contains the LFW photos, also in subfolders: count self-intersections",
    )
    parser.add_argument(
        "--count", type=int, default=50, help="largest number of photos of test identities (default: %(default)s)"
    )
    parser.add_argument(
        "--ict", metavar="FILE", help="path of ict_face_model.npz: measure depth errors on rendered ICT heads"
    )
    parser.add_argument(
        "--texture-model", metavar="FILE",
        help="file written by `facegeom prepare texture-model`; with PHOTOS and --out, its mean texture is drawn on "
        "eight photos, beside the registered skin and its distance from the face model",
    )  # fmt: skip
    add_common_arguments(parser, MAP_PIPELINES)


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the pictures that the command writes to the folder `--out`."""
    return [Path(args.out) / "registration.png"] if args.out else []


def run(args: argparse.Namespace) -> int:
    """Evaluate the registration to the maps of a network and write the results; return the exit code."""
    if not args.photos and not args.ict:
        raise FacegeomError("evaluate registration needs a folder with photos, --ict, or both")
    network = load_network(args.weights, args.device)
    summary: dict[str, Any] = {}
    results: list[HeadResult] = []
    if args.ict:
        heads = expression_heads(args.ict, network.size)
        total = len(EXPRESSIONS) * SUBJECTS
        results = [
            evaluate_head(name, subject, sample, network, rng)
            for name, subject, sample, rng in tqdm(heads, total=total, unit="head")
        ]
        summary = summarise(results)
    if args.photos:
        summary["photos"] = count_on_photos(args.photos, args.count, network)
    show(format_summary(summary))
    if args.photos and args.out and args.texture_model:
        page = photo_sheet(args.photos, args.texture_model, network)
        save_image(page, picture_folder(args.out) / "registration.png")
    if args.json:
        write_json(args.json, {**summary, "heads": results})
    return 0
