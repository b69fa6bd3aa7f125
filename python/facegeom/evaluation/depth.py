"""`facegeom evaluate depth`: depth error on renders of a real head scan.

The protocol follows Sela, Richardson and Kimmel, Unrestricted Facial Geometry Reconstruction Using Image-to-Image
Translation (ICCV 2017), table 1: depth up to a scale and a shift found by RANSAC, error in percent of the range.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import NoFaceFound
from facegeom.evaluation.scan import BACKGROUNDS, Scan, View, load_scan, render_view
from facegeom.face_model import FaceModel, load_face_model
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, crop_box, crop_image
from facegeom.images.image_files import save_image
from facegeom.images.sampling import bilinear_where_finite
from facegeom.measures.metrics import DepthError, aligned_depth_error, landmark_box
from facegeom.measures.predictor import (
    PredictedFace,
    Predictor,
    add_common_arguments,
    chosen_predictor,
    model_depth,
)
from facegeom.measures.report import (
    depth_picture,
    heat_picture,
    picture_folder,
    sheet,
    show,
    table,
    write_json,
)

YAWS = (0.0, 15.0, -15.0, 30.0, -30.0, 45.0, -45.0)
METHODS = ("facegeom", "mean, found camera", "mean, ICP oracle")
HEAT_LIMIT = 15.0  # percent of the range that the hottest colour stands for
SHEET_SIZE, SHEET_CROP = 224, 1.5
ICP_ROUNDS, ICP_KEPT = 20, 0.9


@dataclass(frozen=True)
class Placement:
    """A similarity, face model to scan: x -> scale * rotation @ x + translation (mm)."""

    rotation: FloatArray
    scale: float
    translation: FloatArray

    def camera(self, view: Camera) -> Camera:
        """Return the camera of the model's frame that shows the placed model where `view` shows the scan."""
        rotation = view.rotation @ self.rotation
        origin = view.project(self.translation[None])[0]
        return Camera(rotation, view.scale * self.scale, origin)


@dataclass(frozen=True)
class ViewResult:
    """What was measured on one view.

    Attributes
    ----------
    yaw, background : of the view
    detected : whether a face was found without a box
    errors : method -> DepthError
    heat : method -> (size, size) float array, percent of range, NaN where nothing is scored or covered
    """

    yaw: float
    background: str
    detected: bool
    errors: dict[str, DepthError]
    heat: dict[str, FloatArray]


def place_mean_face(model: FaceModel, scan: Scan) -> Placement:
    """Place the mean face on the scan by similarity ICP, the oracle that no photo gives.

    Notes
    -----
    Scan to model's face part, point to plane, 20 rounds from the eye centres' common frame, the worst tenth of the
    residuals left out in each.
    """
    points = scan.vertices[scan.scorable & (scan.vertices[:, 2] > -30.0)]
    surface = model.mean[: model.face_vertex_count]
    normals = geometry.vertex_normals(surface, model.faces[: model.face_triangle_count])
    rotation, scale, shift = np.eye(3), 1.0, np.zeros(3)  # scan -> model
    for _ in range(ICP_ROUNDS):
        moved = scale * points @ rotation.T + shift
        match = geometry.nearest(surface, moved)[0]
        residual = ((surface[match] - moved) * normals[match]).sum(axis=1)
        kept = np.abs(residual) <= np.quantile(np.abs(residual), ICP_KEPT)
        place, normal = moved[kept], normals[match[kept]]
        # unknowns: rotation vector, logarithm of the scale, shift
        system = np.column_stack([np.cross(place, normal), (place * normal).sum(axis=1), normal])
        step = np.linalg.lstsq(system, residual[kept], rcond=None)[0]
        turn = np.asarray(cv2.Rodrigues(step[:3])[0], dtype=np.float64)
        growth = float(np.exp(step[3]))
        rotation, scale = turn @ rotation, growth * scale
        shift = growth * turn @ shift + step[4:]
    return Placement(rotation.T, 1.0 / scale, -rotation.T @ shift / scale)


def map_depth_in_photo(face: PredictedFace, shape: tuple[int, int]) -> FloatArray:
    """Return the depth map of a predicted face at the pixels of the photo.

    Parameters
    ----------
    face : PredictedFace
    shape : (h, w) of the photo

    Returns
    -------
    (h, w) float array, mm, NaN outside the face's mask; bilinear between the map's pixels
    """
    y, x = np.indices(shape)
    places = apply_affine(face.maps.affine, np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64))
    return bilinear_where_finite(face.maps.depth, places).reshape(shape)


def evaluate_view(view: View, predictor: Predictor, model: FaceModel, oracle: Placement) -> ViewResult:
    """Measure the predictor, and the mean face in two cameras, on one view.

    Notes
    -----
    The predictor gets no box; where it finds no face it gets the box of the oracle's 68 points, and `detected` is
    false. Predicted depth is turned from mm of the predicted face into mm at the scan by the ratio of the two cameras'
    scales, so that `DepthError.scale` is 1 where the relief is as deep, for its size in the image, as the truth.
    """
    oracle_camera = oracle.camera(view.camera)
    detected = True
    try:
        face = predictor(view.image)
    except NoFaceFound:
        detected = False
        x0, y0, x1, y1 = landmark_box(oracle_camera.project(model.mean[model.landmarks68])).tolist()
        box: Box = (x0, y0, x1, y1)
        face = predictor(view.image, box=box)
    shape = view.depth.shape
    estimates = {
        METHODS[0]: map_depth_in_photo(face, (shape[0], shape[1])) * face.camera.scale,
        METHODS[1]: model_depth(model, model.mean, face.camera, (shape[0], shape[1])) * face.camera.scale,
        METHODS[2]: model_depth(model, model.mean, oracle_camera, (shape[0], shape[1])) * oracle_camera.scale,
    }
    errors, heat = {}, {}
    for method, estimate in estimates.items():
        errors[method], heat[method] = aligned_depth_error(estimate / view.camera.scale, view.depth, view.scored)
    return ViewResult(view.yaw, view.background, detected, errors, heat)


def evaluate(
    folder: str | Path, predictor: Predictor, *, model: FaceModel | None = None, size: int = 512
) -> tuple[list[View], list[ViewResult]]:
    """Render the scan of `folder` and measure the predictor on all views.

    Parameters
    ----------
    folder : of head.obj and color.jpg
    predictor : what is evaluated
    model : of the mean face; the package's own where it is left out
    size : of the renders, pixels

    Returns
    -------
    views, results : one a yaw and background
    """
    scan = load_scan(folder)
    model = load_face_model() if model is None else model
    oracle = place_mean_face(model, scan)
    views = [render_view(scan, yaw, size, background) for background in BACKGROUNDS for yaw in YAWS]
    results = [evaluate_view(view, predictor, model, oracle) for view in tqdm(views, desc="depth", unit="view")]
    return views, results


def summarise(results: list[ViewResult]) -> dict[str, Any]:
    """Return the errors view by view and, in `mean`, their means by method over all views."""
    fields = ("mean", "std", "median", "percentile90", "coverage", "scale")
    means = {
        method: {name: float(np.mean([getattr(r.errors[method], name) for r in results])) for name in fields}
        for method in METHODS
    }
    worst = {method: float(np.max([r.errors[method].mean for r in results])) for method in METHODS}
    return {
        "benchmark": "depth",
        "mean": means,
        "worst_view": worst,
        "detected": int(sum(result.detected for result in results)),
        "views": [
            {
                "yaw": result.yaw,
                "background": result.background,
                "detected": result.detected,
                "errors": result.errors,
            }
            for result in results
        ],
    }


def format_summary(summary: dict[str, Any]) -> str:
    """Return the figures of `summarise` as tables."""
    header = ["method", "mean", "std", "median", "90th", "coverage", "scale", "worst view"]
    names = ("mean", "std", "median", "percentile90", "coverage", "scale")
    means = table(
        header,
        [
            [method, *(figures[name] for name in names), summary["worst_view"][method]]
            for method, figures in summary["mean"].items()
        ],
        digits=3,
    )
    short = dict(zip(METHODS, ("", "mean face ", "oracle "), strict=True))
    views = table(
        ["view", "detected", *(f"{short[method]}{what}" for method in METHODS for what in ("error", "cover", "scale"))],
        [
            [
                f"{view['background']} {view['yaw']:+.0f}",
                "yes" if view["detected"] else "no",
                *(
                    value
                    for method in METHODS
                    for value in (
                        view["errors"][method].mean,
                        view["errors"][method].coverage,
                        view["errors"][method].scale,
                    )
                ),
            ]
            for view in summary["views"]
        ],
    )
    return f"depth error after RANSAC scale and shift, percent of range\n{means}\n\n{views}"


def heat_sheet(views: list[View], results: list[ViewResult]) -> ByteArray:
    """Return a sheet of one row a view: render, true depth where it is scored, and each method's error as heat."""
    tiles, captions = [], []
    for view, result in zip(views, results, strict=True):
        rows, columns = np.flatnonzero(view.scored.any(axis=1)), np.flatnonzero(view.scored.any(axis=0))
        square = crop_box((columns[0], rows[0], columns[-1], rows[-1]), SHEET_CROP)
        whole = [view.image, depth_picture(np.where(view.scored, view.depth, np.nan))]
        captions += [f"{view.background} yaw {view.yaw:+.0f}", "scored depth"]
        for method in METHODS:
            whole.append(heat_picture(result.heat[method], HEAT_LIMIT, view.image))
            captions.append(f"{method} {result.errors[method].mean:.2f} %")
        tiles += [crop_image(picture, square, SHEET_SIZE) for picture in whole]
    return sheet(tiles, 2 + len(METHODS), SHEET_SIZE, captions)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate depth`."""
    parser.add_argument("folder", metavar="SCAN_DIR", help="folder of head.obj and color.jpg")
    parser.add_argument("--size", type=int, default=512, help="of the renders, pixels (default: %(default)s)")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate facegeom's depth on a scan."""
    views, results = evaluate(args.folder, chosen_predictor(args), size=args.size)
    summary = summarise(results)
    show(format_summary(summary))
    if args.json:
        write_json(args.json, summary)
    if args.out:
        folder = picture_folder(args.out)
        for background in BACKGROUNDS:
            rows = [i for i, view in enumerate(views) if view.background == background]
            page = heat_sheet([views[i] for i in rows], [results[i] for i in rows])
            save_image(page, folder / f"depth_{background}.png")
    return 0
