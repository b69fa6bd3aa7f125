"""`facegeom evaluate depth`: depth error on renders of a head scan.

Protocol: Sela, Richardson and Kimmel, Unrestricted Facial Geometry Reconstruction Using Image-to-Image Translation
(ICCV 2017), table 1. Predicted depth is aligned by a scale and a shift found by RANSAC; the error is in percent of the
true depth range.
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
from facegeom.evaluation.scan import BACKGROUNDS, Scan, ScanRender, load_scan, render_view
from facegeom.face_model import FaceModel, load_face_model
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, crop_box, crop_image
from facegeom.images.image_files import save_image
from facegeom.images.pictures import depth_picture
from facegeom.measures.metrics import DepthError, aligned_depth_error, landmark_box, sample_bilinear
from facegeom.measures.predictor import (
    PredictedFace,
    Predictor,
    add_common_arguments,
    chosen_predictor,
    model_depth,
)
from facegeom.measures.report import (
    heat_picture,
    picture_folder,
    sheet,
    show,
    table,
    write_json,
)

YAWS = (0.0, 15.0, -15.0, 30.0, -30.0, 45.0, -45.0)  # yaw of the renders, degrees
METHODS = ("facegeom", "mean, found camera", "mean, ICP oracle")
"""The predictor, and two baselines: the mean face in the predicted camera, and the mean face fitted to the scan."""

HEAT_LIMIT = 15.0  # error drawn in the last colour of the colour map, percent of the depth range
SHEET_SIZE, SHEET_CROP = 224, 1.5  # picture side length, pixels; crop side / side of the scored region
ICP_ITERATIONS, ICP_KEPT_SHARE = 20, 0.9  # iterations; share of points, with the smallest residuals, that is kept


@dataclass(frozen=True)
class Similarity:
    """A similarity transform from the face frame to the frame of the scan: x -> scale * rotation @ x + translation.

    Attributes
    ----------
    rotation : (3, 3) float array, face frame to the frame of the scan
    scale : scale factor
    translation : (3,) float array, mm in the frame of the scan
    """

    rotation: FloatArray
    scale: float
    translation: FloatArray

    def camera(self, scan_camera: Camera) -> Camera:
        """Return the composition of this transform and a camera: from the face frame to pixels.

        Parameters
        ----------
        scan_camera : Camera, frame of the scan to pixels
        """
        rotation = scan_camera.rotation @ self.rotation
        origin = scan_camera.project(self.translation[None])[0]
        return Camera(rotation, scan_camera.scale * self.scale, origin)


@dataclass(frozen=True)
class ViewResult:
    """The depth errors of the compared methods on one render of the scan.

    Attributes
    ----------
    yaw : yaw of the render, degrees
    background : background of the render, a key of `BACKGROUNDS`
    detected : whether the predictor found the face without a box
    errors : name of a method -> DepthError
    heat : name of a method -> (size, size) float array, absolute error in percent of the depth range; NaN at pixels
        that are not evaluated
    """

    yaw: float
    background: str
    detected: bool
    errors: dict[str, DepthError]
    heat: dict[str, FloatArray]


def place_mean_face(model: FaceModel, scan: Scan) -> Similarity:
    """Fit the mean face to the scan by the iterative closest point method (ICP).

    As a baseline, the fitted mean face is an upper bound of the accuracy of the mean face: the fit needs the true
    geometry.

    Parameters
    ----------
    model : FaceModel
    scan : Scan

    Returns
    -------
    Similarity

    Notes
    -----
    Trimmed ICP with point-to-plane distances, from points of the scan to the face region of the model. The iterations
    start with the identity transform, because both frames have their origin midway between the eye centres.
    """
    points = scan.vertices[scan.scorable & (scan.vertices[:, 2] > -30.0)]
    surface = model.mean[: model.face_vertex_count]
    normals = geometry.vertex_normals(surface, model.faces[: model.face_triangle_count])
    rotation, scale, shift = np.eye(3), 1.0, np.zeros(3)  # scan -> model
    for _ in range(ICP_ITERATIONS):
        moved = scale * points @ rotation.T + shift
        match = geometry.nearest(surface, moved)[0]
        residual = ((surface[match] - moved) * normals[match]).sum(axis=1)
        kept = np.abs(residual) <= np.quantile(np.abs(residual), ICP_KEPT_SHARE)
        place, normal = moved[kept], normals[match[kept]]
        # Unknowns: rotation vector, logarithm of the scale, shift.
        system = np.column_stack([np.cross(place, normal), (place * normal).sum(axis=1), normal])
        step = np.linalg.lstsq(system, residual[kept], rcond=None)[0]
        turn = np.asarray(cv2.Rodrigues(step[:3])[0], dtype=np.float64)
        growth = float(np.exp(step[3]))
        rotation, scale = turn @ rotation, growth * scale
        shift = growth * turn @ shift + step[4:]
    return Similarity(rotation.T, 1.0 / scale, -rotation.T @ shift / scale)


def map_depth_in_photo(face: PredictedFace, shape: tuple[int, int]) -> FloatArray:
    """Resample the depth map of a predicted face bilinearly at the pixels of the photo.

    Parameters
    ----------
    face : PredictedFace
    shape : (h, w) of the photo

    Returns
    -------
    (h, w) float array
        Depth in mm; NaN outside the mask of the face.
    """
    y, x = np.indices(shape)
    places = apply_affine(face.maps.affine, np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64))
    return sample_bilinear(face.maps.depth, places).reshape(shape)


def evaluate_view(view: ScanRender, predictor: Predictor, model: FaceModel, oracle: Similarity) -> ViewResult:
    """Evaluate the predictor and both baselines on one render.

    Parameters
    ----------
    view : ScanRender
    predictor : the evaluated method
    model : face model that provides the mean face
    oracle : transform of the mean face fitted to the scan, from `place_mean_face`

    Notes
    -----
    The predictor is called without a box. If it finds no face, it is called again with the box of the 68 points of the
    fitted mean face, and `detected` is False. Predicted depths are multiplied by the ratio of the camera scales: a
    `DepthError.scale` of 1 then means that the ratio of the depth range to the image size of the face is correct.
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
    folder: str | Path,
    predictor: Predictor,
    *,
    description: str | Path | None = None,
    model: FaceModel | None = None,
    size: int = 512,
) -> tuple[list[ScanRender], list[ViewResult]]:
    """Render the scan and evaluate the predictor on all renders.

    Parameters
    ----------
    folder : folder of the scan
    predictor : the evaluated method
    description : description of the scan, see `find_description`
    model : face model that provides the mean face; None: the face model of the package
    size : side length of the square renders, pixels

    Returns
    -------
    views : list of ScanRender, one per background and yaw
    results : list of ViewResult, in the same order
    """
    scan = load_scan(folder, description)
    model = load_face_model() if model is None else model
    oracle = place_mean_face(model, scan)
    views = [render_view(scan, yaw, size, background) for background in BACKGROUNDS for yaw in YAWS]
    results = [evaluate_view(view, predictor, model, oracle) for view in tqdm(views, desc="depth", unit="view")]
    return views, results


def summarise(results: list[ViewResult]) -> dict[str, Any]:
    """Return the errors of each method: "views" for each render, "mean" averaged over all renders."""
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
    """Return the result of `summarise` as text tables."""
    header = ["method", "mean", "std", "median", "90th percentile", "coverage", "scale", "worst view"]
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
        [
            "view",
            "detected",
            *(f"{short[method]}{what}" for method in METHODS for what in ("error", "coverage", "scale")),
        ],
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
    return f"depth error after alignment by scale and shift (RANSAC), percent of the depth range\n{means}\n\n{views}"


def heat_sheet(views: list[ScanRender], results: list[ViewResult]) -> ByteArray:
    """Draw one row per render: the image, the scored true depth, and the error of each method as colours."""
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
    """Add the arguments of `facegeom evaluate depth`."""
    parser.add_argument("folder", metavar="SCAN_DIR", help="folder that contains the mesh and texture of a scan")
    parser.add_argument(
        "--description",
        metavar="FILE",
        help="JSON file with unit, axes and points of the scan, or lee_perry_smith, which is part of the package "
        "(default: scan.json in SCAN_DIR)",
    )
    parser.add_argument(
        "--size", type=int, default=512, help="side length of the square renders in pixels (default: %(default)s)"
    )
    add_common_arguments(parser)


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the pictures that the command writes to the folder `--out`."""
    return [Path(args.out) / f"depth_{background}.png" for background in BACKGROUNDS] if args.out else []


def run(args: argparse.Namespace) -> int:
    """Evaluate the depth on the scan, print the tables and write the requested files; return the exit code."""
    views, results = evaluate(args.folder, chosen_predictor(args), description=args.description, size=args.size)
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
