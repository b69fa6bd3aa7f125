"""`facegeom evaluate registration`: what the registered template adds to maps, on rendered heads and on photos.

Heads of the ICT model with seven expressions: depth error of the network's maps, of the face model fitted to them and
of the template registered to them (Sela et al. 2017, table 2); the same where a fifth of the map was erased. Photos:
triangles of the skin that pass through each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation.ict_heads import HeadOptions, HeadRenderer
from facegeom.evaluation.pipeline import held_out_photos
from facegeom.evaluation.registration_sheet import projection_pictures, textured_photo
from facegeom.face_model import load_face_model
from facegeom.face_model.template import load_template
from facegeom.images.image_files import load_image, save_image
from facegeom.measures.metrics import map_error
from facegeom.measures.predictor import MAP_PIPELINES, add_common_arguments, load_network
from facegeom.measures.registered import register_crop
from facegeom.measures.report import picture_folder, sheet, show, table, write_json
from facegeom.pipelines import pix2vertex
from facegeom.pipelines.interface import PipelineOptions
from facegeom.pipelines.map_prediction import MapNetwork, MapOptions, predict_maps
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
"""Those of the paper's table 2 as weights of ICT's shapes, both sides alike."""

SUBJECTS = 10
SHEET_PHOTOS, SHEET_SIZE = 8, 200
ERASED = 0.2  # share of the mask, a disc around one of its pixels
HEADS = HeadOptions(max_yaw_deg=20.0, pitch_deg=5.0, roll_deg=5.0)  # the faces of the paper's table look ahead


@dataclass(frozen=True)
class HeadResult:
    """Depth errors of one head, percent of its range, and errors of the depth where the map was erased, mm."""

    expression: str
    subject: int
    maps: float
    registered: float
    completed_mm: float
    not_erased_mm: float


def expression_heads(path: str, size: int) -> Iterator[tuple[str, int, Sample, np.random.Generator]]:
    """Yield ten subjects with each expression: its name, the subject's number, the sample, the generator behind it."""
    renderer = HeadRenderer(path, HEADS)
    head = renderer.head
    for name, mix in EXPRESSIONS.items():
        weights = np.array(
            [mix.get(str(shape).removesuffix("_L").removesuffix("_R"), 0.0) for shape in head.expression_names]
        )
        for subject in range(SUBJECTS):
            rng = np.random.default_rng([subject, 1])  # the same ten people with each
            vertices = head.sample(rng.normal(0, HEADS.identity_sigma, len(head.identity)), weights)
            yield name, subject, renderer.posed(vertices, rng, size)[0], rng


def evaluate_head(name: str, subject: int, sample: Sample, network: MapNetwork, rng: np.random.Generator) -> HeadResult:
    """Measure one head."""
    maps = network.predict(sample.image[None])
    depth, place = maps.depth[0], maps.correspondence[0]
    mask: BoolArray = np.asarray(maps.mask_probability[0] > MapOptions().threshold)
    erased = erased_disc(mask, rng)
    whole = register_crop(sample.image, depth, place, mask)
    holed = register_crop(sample.image, depth, place, mask & ~erased)
    if whole is None or holed is None:
        nothing = float("nan")
        return HeadResult(name, subject, _error(depth, mask, sample), nothing, nothing, nothing)
    shown = erased & sample.mask & whole.mask & holed.mask
    around = sample.mask & whole.mask & holed.mask & mask & ~erased
    return HeadResult(
        name,
        subject,
        _error(depth, mask, sample),
        _error(whole.depth, whole.mask, sample),
        _shifted_error(holed.depth, sample, shown, around),
        _shifted_error(whole.depth, sample, shown, around),
    )


def erased_disc(mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Return the fifth of the mask's pixels that lies nearest to a random one of them."""
    rows, columns = np.nonzero(mask)
    chosen = int(rng.integers(len(rows)))
    distance = np.hypot(rows - rows[chosen], columns - columns[chosen])
    disc = np.zeros_like(mask)
    near = distance <= np.quantile(distance, ERASED)
    disc[rows[near], columns[near]] = True
    return disc


def _error(depth: FloatArray, mask: BoolArray, sample: Sample) -> float:
    place = np.nan_to_num(sample.correspondence)
    return map_error(depth, place, mask, sample.depth, place, sample.mask).depth


def _shifted_error(depth: FloatArray, sample: Sample, pixels: BoolArray, around: BoolArray) -> float:
    """Mean depth error over pixels in mm, after removing the mean shift over the pixels around."""
    if not pixels.any() or not around.any():
        return float("nan")
    difference = depth - sample.depth
    return float(np.abs(difference[pixels] - difference[around].mean()).mean())


def self_intersections(V: FloatArray, F: IntArray) -> int:
    """Return how many triangles pass through another one, as MeshLab counts them."""
    import pymeshlab

    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(V, F))
    meshes.compute_selection_by_self_intersections_per_face()
    return int(meshes.current_mesh().selected_face_number())


def count_on_photos(photos: str, count: int, network: MapNetwork) -> dict[str, Any]:
    """Return self-intersections of the skin on photos of test identities: of the fit, of the result, by photo."""
    template = load_template()
    coarse, fine = template.coarse, template.fine
    rows = {}
    for name, path in tqdm(held_out_photos(find_photos(photos), count).items(), unit="photo"):
        photo = load_image(path)
        try:
            seen = predict_maps(photo, network=network)
        except NoFaceFound:
            continue
        stages = pix2vertex.run(photo, seen, PipelineOptions()).meshes
        rows[name] = {
            "aligned": self_intersections(stages["aligned"].vertices[: coarse.skin_count], coarse.skin_faces),
            "registered": self_intersections(stages["registered"].vertices[: coarse.skin_count], coarse.skin_faces),
            "detailed": self_intersections(stages["detailed"].vertices[: fine.skin_count], fine.skin_faces),
        }
    stages_seen = ("aligned", "registered", "detailed")
    return {
        "photos": len(rows),
        "with": {stage: sum(row[stage] > 0 for row in rows.values()) for stage in stages_seen},
        "triangles": {stage: sum(row[stage] for row in rows.values()) for stage in stages_seen},
        "by_photo": {name: row for name, row in rows.items() if any(row.values())},
    }


def photo_sheet(photos: str, texture_model: str, network: MapNetwork) -> ByteArray:
    """Draw photos of test identities: the mean texture by the correspondence, and the projection onto the model."""
    model, template = load_face_model(), load_template()
    mean = TextureModel.load(texture_model).mean.astype(np.float64)
    captions: list[str] = []
    pictures: list[ByteArray] = []
    for path in held_out_photos(find_photos(photos), SHEET_PHOTOS).values():
        seen = predict_maps(load_image(path), network=network)
        target = target_mesh(seen.maps, seen.camera, WarpOptions().max_edge_mm)
        aligned = fitted_vertices(model, seen.fit)[template.vertices]
        skin = register_template(template, aligned, target)[: template.coarse.skin_count]
        row = {"photo": seen.maps.image, "mean texture": textured_photo(seen.maps, mean)}
        row |= projection_pictures(skin, seen.camera.rotation, SHEET_SIZE)
        captions += list(row)
        pictures += list(row.values())
    return sheet(pictures, len(pictures) // SHEET_PHOTOS * 2, SHEET_SIZE, captions)


def summarise(results: list[HeadResult]) -> dict[str, Any]:
    """Return means by expression and over all."""
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
    """Return the figures as tables."""
    parts = []
    if "expressions" in summary:
        header = ["depth error, % of range", "maps", "registered", "a fifth erased, there, mm", "with all of the map"]
        parts.append(table(header, [list(row.values()) for row in summary["expressions"]]))
    if "photos" in summary:
        counts = summary["photos"]
        rows: list[list[str | float | int]] = [
            [stage, counts["with"][stage], counts["triangles"][stage]] for stage in counts["with"]
        ]
        parts.append(table([f"skin of {counts['photos']} photos", "that pass through themselves", "triangles"], rows))
    return "\n\n".join(parts)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate registration`."""
    parser.add_argument("photos", metavar="PHOTOS", nargs="?", help="folder of the LFW photos: count intersections")
    parser.add_argument("--count", type=int, default=50, help="of photos of test identities (default: %(default)s)")
    parser.add_argument("--ict", metavar="FILE", help="ict_face_model.npz: errors on rendered heads")
    parser.add_argument(
        "--texture-model", metavar="FILE", help="with PHOTOS and --out: draw its mean on eight photos, and residuals"
    )
    add_common_arguments(parser, MAP_PIPELINES)


def run(args: argparse.Namespace) -> int:
    """Evaluate the registration behind a network of maps."""
    if not args.photos and not args.ict:
        raise FacegeomError("evaluate registration needs a folder of photos, --ict, or both")
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
