"""`facegeom evaluate meshes`: distance between the mesh of each pipeline and the true surface, in mm.

The true surface is the face model fitted to the FaceMesh landmarks (photos of test identities) or to the 68 annotated
3-D points (AFLW2000-3D) of the photo. The comparison is described in `facegeom.evaluation.mesh_truth`.
"""

from __future__ import annotations

import argparse
import contextlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray
from facegeom._internal.stopwatch import stopwatch
from facegeom.detection import detector as detection
from facegeom.errors import FacegeomError, NoFaceFound, WeightsError
from facegeom.evaluation.aflw2000 import load_annotations
from facegeom.evaluation.detection import evenly_spread
from facegeom.evaluation.mesh_truth import TAUS, MeshScore, Surface, TrueSurface, face_triangles
from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import face_region
from facegeom.face_model.fitting import fit_landmarks68
from facegeom.face_model.point_fit import Fit
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import crop_image
from facegeom.images.image_files import load_image, save_image
from facegeom.measures.metrics import YAW_BINS, in_yaw_bin, landmark_box
from facegeom.measures.predictor import mean_face_in_box
from facegeom.measures.report import picture_folder, sheet, show, table, write_json
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.networks.interface import MESH_PIPELINES
from facegeom.pipelines import PIPELINES
from facegeom.pipelines.mesh_prediction import mesh_network
from facegeom.reconstruction import predict, reconstruct
from facegeom.render import Frame, render_mesh
from facegeom.training.data.labels import Labels, find_photos, yaw_deg
from facegeom.training.data.split import split_names

MEAN_FACE = "mean face"

CONDITIONS = ("as it is", "25 % occluded", "noise 0.1", "noise 0.25", "dark")
"""Names of the changes that `degrade` makes to a photo before the reconstruction; the first name means no change."""

DARKNESS = 0.25  # factor on the pixel values of a dark photo
OCCLUDER = 128  # gray level of the occluding rectangle

PUBLISHED = (
    ("Pixel2Mesh for faces, table 1", "AFLW2000 (200 photos)", "CD 0.039, F(tau) 57.28 %, F(2 tau) 77.54 %"),
    ("GCN-IGAN, table 3", "300W-LP", "CD 0.0075, EMD 0.1200"),
    ("GCN-IGAN, table 3", "AFLW2000-3D", "CD 0.0573, EMD 0.2800"),
)
"""Paper, data set and published figures. The papers state neither unit nor tau, and use another true face model."""

FIGURES = {
    "found_percent": "found %",
    "chamfer_mm": "CD mm",
    "chamfer_squared_mm2": "CD mm^2",
    "emd_mm": "EMD mm",
    "emd_floor_mm": "EMD floor mm",
    "sliced_mm": "SWD mm",
    "sliced_floor_mm": "SWD floor mm",
    **{f"f_{tau:.0f}mm_percent": f"F {tau:.0f} mm %" for tau in TAUS},
    "chamfer_shown_mm": "CD* mm",
    **{f"f_shown_{tau:.0f}mm_percent": f"F* {tau:.0f} mm %" for tau in TAUS},
    "left_out_percent": "ignored %",
    "milliseconds": "ms",
}
"""Key of a figure in a row of the summary -> column heading in the printed table."""

SHEET_ROWS, SHEET_SIZE = 10, 160  # number of photos on the sheet, picture side in pixels

Reconstructed: TypeAlias = tuple[FaceMesh, Camera, float]  # mesh, camera, milliseconds
Reconstructor: TypeAlias = Callable[[ByteArray, Box, str], Reconstructed]  # (photo, box, pipeline name) -> result


@dataclass(frozen=True)
class MeshCase:
    """A photo with its ground truth: the fit of the face model to the photo.

    Attributes
    ----------
    source : "test" or "aflw2000"
    name : file name of the photo
    path : path of the photo file
    fit : Fit, the face model fitted to the photo, with a camera in pixels of the photo
    yaw : yaw of the head, degrees
    """

    source: str
    name: str
    path: Path
    fit: Fit
    yaw: float

    @property
    def box(self) -> Box:
        """The bounding box of the 68 landmarks, x0, y0, x1, y1 in pixels."""
        model = load_face_model()
        camera = Camera(self.fit.rotation, self.fit.scale, self.fit.translation)
        x0, y0, x1, y1 = landmark_box(camera.project(self.fit.vertices(model)[model.landmarks68])).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True)
class MeshResult:
    """The result of one pipeline on one photo.

    Attributes
    ----------
    source, name, yaw : attributes of the `MeshCase`
    condition : change of the photo, one of `CONDITIONS`
    pipeline : name of the pipeline, or `MEAN_FACE`
    found : whether the pipeline found the face
    milliseconds : run time in ms; NaN if no face was found, and for the mean face
    score : MeshScore of the mesh; if no face was found, MeshScore of the mean face in the annotated box
    """

    source: str
    name: str
    yaw: float
    condition: str
    pipeline: str
    found: bool
    milliseconds: float
    score: MeshScore


def photo_seed(name: str) -> int:
    """Return the seed of the random numbers for a photo, which depends on its name only."""
    return zlib.crc32(name.encode()) % 2**30


def degrade(photo: ByteArray, condition: str, box: Box, seed: int) -> ByteArray:
    """Return a degraded photo.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    condition : one of `CONDITIONS`. "as it is": unchanged; "25 % occluded": a gray rectangle at a random position
        covers a quarter of the area of the box; "noise s": Gaussian noise with a standard deviation of s times 255;
        "dark": pixel values times `DARKNESS`
    box : bounding box x0, y0, x1, y1 of the 68 landmarks in pixels
    seed : seed of the position of the rectangle and of the noise

    Returns
    -------
    (h, w, 3) uint8 array
    """
    rng = np.random.default_rng(seed)
    if condition == CONDITIONS[0]:
        return photo
    if condition == "25 % occluded":
        half = 0.5 * (np.array(box[2:]) - box[:2])
        corner = rng.uniform(box[:2], box[:2] + half)
        x0, y0, x1, y1 = np.maximum(np.rint([*corner, *(corner + half)]), 0).astype(int)
        covered = photo.copy()
        covered[y0:y1, x0:x1] = OCCLUDER
        return covered
    if condition == "dark":
        return np.asarray(np.rint(photo * DARKNESS), dtype=np.uint8)
    noise = rng.normal(0.0, 255.0 * float(condition.removeprefix("noise ")), photo.shape)
    return np.asarray(np.clip(np.rint(photo + noise), 0, 255), dtype=np.uint8)


def held_out_cases(photos: str | Path, labels: str | Path, limit: int | None = None) -> list[MeshCase]:
    """Return the photos of test identities whose fit is accurate enough to serve as ground truth.

    Parameters
    ----------
    photos : folder that contains the photos
    labels : file of fits, written by `facegeom prepare labels`
    limit : largest number of photos, evenly spread over all; None: all

    Raises
    ------
    FacegeomError
        If there is no such photo.
    """
    found, fits = find_photos(photos), Labels.load(labels)
    test = split_names([str(name) for name in fits.names]).test
    rows = [int(row) for row in np.intersect1d(test, fits.kept) if str(fits.names[row]) in found]
    if not rows:
        raise FacegeomError(f"{photos} contains no photo of a test identity with a usable fit")
    yaws = yaw_deg(fits.rotation.astype(np.float64))
    return [
        MeshCase("test", str(fits.names[row]), found[str(fits.names[row])], fits.fit(row), float(yaws[row]))
        for row in (rows[item] for item in evenly_spread(len(rows), limit or len(rows)))
    ]


def aflw2000_cases(folder: str | Path, limit: int | None = None) -> list[MeshCase]:
    """Return the photos of AFLW2000-3D with the face model fitted to their 68 annotated 3-D points.

    Parameters
    ----------
    folder : folder that contains annotations.npz and images/
    limit : largest number of photos, evenly spread over all; None: all

    Raises
    ------
    FacegeomError
        If the annotations do not exist.
    """
    annotations = load_annotations(folder)
    model = load_face_model()
    names = annotations.names
    return [
        MeshCase(
            "aflw2000",
            names[row],
            Path(folder) / "images" / f"{names[row]}.jpg",
            fit_landmarks68(model, annotations.points_3d[row]),
            float(annotations.yaw[row]),
        )
        for row in evenly_spread(len(names), limit or len(names))
    ]


def reconstruct_pipeline(photo: ByteArray, box: Box, name: str, device: str = "cpu") -> Reconstructed:
    """Reconstruct a photo with one pipeline.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    box : x0, y0, x1, y1 of the face in pixels
    name : name of the pipeline
    device : device of the networks, such as "cpu" or "cuda"

    Returns
    -------
    mesh, camera, milliseconds : FaceMesh, Camera, and run time in ms without loading the photo
    """
    rec = reconstruct(photo, box=box, pipeline=name, device=device)
    return rec.mesh, rec.camera, sum(rec.timings.values()) - rec.timings["loading"]


def evaluate_case(
    case: MeshCase, pipelines: Sequence[str], conditions: Sequence[str], reconstructor: Reconstructor
) -> tuple[list[MeshResult], list[Surface]]:
    """Evaluate all pipelines on one photo, and also the mean face in the camera that pix2vertex predicts.

    Parameters
    ----------
    case : MeshCase
    pipelines : names of the pipelines
    conditions : names of changes, from `CONDITIONS`
    reconstructor : function from a photo, a box and the name of a pipeline to mesh, camera and milliseconds

    Returns
    -------
    results : list of MeshResult, one per condition and pipeline
    surfaces : the true surface, and the mesh of each pipeline under the first condition

    Notes
    -----
    All pipelines get the true box, so that they reconstruct the same person in photos of several people. The run
    time of the detector is measured separately and added to the run time of each pipeline.
    """
    model = load_face_model()
    seed = photo_seed(case.name)
    truth, box = TrueSurface(model, case.fit, seed), case.box
    original = load_image(case.path)
    results, surfaces = [], [truth.surface]
    for condition in conditions:
        photo = degrade(original, condition, box, seed)
        times: dict[str, float] = {}
        with stopwatch(times, "detection"):
            detection.detect(photo)
        camera: Camera | None = None
        for name in (*pipelines, MEAN_FACE):
            found = True
            try:
                if name == MEAN_FACE:
                    camera = camera or predict(photo, box).camera
                    mesh, milliseconds = truth.place(model.mean, face_region(model), camera), float("nan")
                else:
                    predicted, predicted_camera, milliseconds = reconstructor(photo, box, name)
                    mesh = truth.place(predicted.vertices, face_triangles(predicted), predicted_camera)
                    milliseconds += times["detection"]
                    camera = predicted_camera if name == "pix2vertex" else camera
            except NoFaceFound:
                found, milliseconds = False, float("nan")
                mesh = truth.place(model.mean, face_region(model), mean_face_in_box(model, box))
            results.append(
                MeshResult(case.source, case.name, case.yaw, condition, name, found, milliseconds, truth.score(mesh))
            )
            if condition == conditions[0]:
                surfaces.append(mesh)
    return results, surfaces


def evaluate(
    cases: Sequence[MeshCase], pipelines: Sequence[str], reconstructor: Reconstructor, degraded: int = 0
) -> tuple[list[MeshResult], list[ByteArray]]:
    """Evaluate all pipelines on all photos.

    Parameters
    ----------
    cases : photos with ground truth
    pipelines : names of the pipelines
    reconstructor : function described in `evaluate_case`
    degraded : number of photos, evenly spread over all, that are evaluated under all conditions of `CONDITIONS`

    Returns
    -------
    results : list of MeshResult, in the order of the cases
    tiles : pictures of the first `SHEET_ROWS` photos, see `case_pictures`
    """
    results: list[MeshResult] = []
    tiles: list[ByteArray] = []
    degraded_rows = set(evenly_spread(len(cases), degraded)) if degraded else set()
    for name in pipelines:  # load the networks before the time measurement
        with contextlib.suppress(NoFaceFound):
            reconstructor(load_image(cases[0].path), cases[0].box, name)
    for number, case in enumerate(tqdm(cases, desc="meshes", unit="photo")):
        conditions = CONDITIONS if number in degraded_rows else CONDITIONS[:1]
        case_results, surfaces = evaluate_case(case, pipelines, conditions, reconstructor)
        results += case_results
        if number < SHEET_ROWS:
            tiles += case_pictures(case, surfaces)
    return results, tiles


def case_pictures(case: MeshCase, surfaces: Sequence[Surface]) -> list[ByteArray]:
    """Return a crop of the photo and renders of the surfaces by the true camera, aligned with the crop.

    Parameters
    ----------
    case : MeshCase
    surfaces : surfaces to render, the true surface first
    """
    meshes = [FaceMesh(surface.V, surface.F) for surface in surfaces]
    frame = Frame.around(FaceMesh(surfaces[0].V[np.unique(surfaces[0].F)], np.zeros((0, 3), np.int64)))
    fit = case.fit
    half = 0.5 * frame.extent * fit.scale
    x = fit.translation[0] + frame.center[0] * fit.scale
    y = fit.translation[1] - frame.center[1] * fit.scale
    photo = crop_image(load_image(case.path), (x - half, y - half, x + half, y + half), SHEET_SIZE)
    return [photo, *(render_mesh(mesh, size=SHEET_SIZE, frame=frame) for mesh in meshes)]


def summarise(results: Sequence[MeshResult]) -> dict[str, Any]:
    """Return the mean figures of each source and pipeline.

    Returns
    -------
    dict
        "rows": one dict per source, pipeline and subset of photos. The key "yaw" names the subset: "all" (all unchanged
        photos), a bin of absolute yaw (unchanged photos), or "some" (the photos evaluated under all conditions).
    """
    rows = []
    for source in dict.fromkeys(result.source for result in results):
        of_source = [result for result in results if result.source == source]
        unchanged = [result for result in of_source if result.condition == CONDITIONS[0]]
        rows += _mean_rows(source, CONDITIONS[0], "all", unchanged)
        for low, high in YAW_BINS:
            inside = [result for result in unchanged if in_yaw_bin(result.yaw, low, high)]
            rows += _mean_rows(source, CONDITIONS[0], f"{low:.0f}-{high:.0f}", inside)
        degraded = {result.name for result in of_source if result.condition != CONDITIONS[0]}
        for condition in CONDITIONS if degraded else ():
            under_condition = [r for r in of_source if r.condition == condition and r.name in degraded]
            rows += _mean_rows(source, condition, "some", under_condition)
    return {"benchmark": "meshes", "rows": rows, "published": [list(row) for row in PUBLISHED]}


def _mean_rows(source: str, condition: str, photos: str, results: Sequence[MeshResult]) -> list[dict[str, Any]]:
    """Return one row of `summarise` per pipeline; `photos` is the value of "yaw"."""
    rows = []
    for pipeline in dict.fromkeys(result.pipeline for result in results):
        of_pipeline = [result for result in results if result.pipeline == pipeline]
        scores = [result.score for result in of_pipeline]
        times = [result.milliseconds for result in of_pipeline if np.isfinite(result.milliseconds)]
        rows.append(
            {
                "source": source,
                "condition": condition,
                "yaw": photos,
                "pipeline": pipeline,
                "photos": len(of_pipeline),
                "found_percent": 100.0 * float(np.mean([result.found for result in of_pipeline])),
                "chamfer_mm": float(np.mean([score.chamfer for score in scores])),
                "chamfer_squared_mm2": float(np.mean([score.chamfer_squared for score in scores])),
                "emd_mm": float(np.mean([score.emd for score in scores])),
                "emd_floor_mm": float(np.mean([score.emd_floor for score in scores])),
                "sliced_mm": float(np.mean([score.sliced for score in scores])),
                "sliced_floor_mm": float(np.mean([score.sliced_floor for score in scores])),
                **{f"f_{tau:.0f}mm_percent": 100.0 * float(np.mean([s.f_score[tau] for s in scores])) for tau in TAUS},
                "chamfer_shown_mm": float(np.mean([score.chamfer_shown for score in scores])),
                **{
                    f"f_shown_{tau:.0f}mm_percent": 100.0 * float(np.mean([s.f_score_shown[tau] for s in scores]))
                    for tau in TAUS
                },
                "left_out_percent": 100.0 * float(np.mean([score.left_out for score in scores])),
                "milliseconds": float(np.median(times)) if times else float("nan"),
            }
        )
    return rows


def format_summary(summary: dict[str, Any]) -> str:
    """Return the result of `summarise` as a text table, followed by the published figures."""
    lines = table(
        ["photos", "|yaw|", "pipeline", "n", *FIGURES.values()],
        [
            [f"{row['source']}, {row['condition']}", row["yaw"], row["pipeline"], row["photos"]]
            + [row[figure] for figure in FIGURES]
            for row in summary["rows"]
        ],
    )
    published = "\n".join(f"  {paper}, {data}: {values}" for paper, data, values in summary["published"])
    lines += "\n\nCD: chamfer distance; EMD: earth mover's distance; SWD: sliced Wasserstein distance;"
    lines += (
        "\nfloor: the same of two samples of the true surface; F: F-score; ignored: points on other parts of the head"
    )
    lines += "\n*: depth aligned where both surfaces are visible, instead of by the mean depth of both surfaces"
    return f"{lines}\n\npublished, not comparable (different ground truth, unknown units and tau):\n{published}"


def available_pipelines(device: str) -> list[str]:
    """Return the pipelines whose weights are installed; print a message for each other pipeline."""
    available = []
    for name in PIPELINES:
        try:
            if name in MESH_PIPELINES:
                mesh_network(name, device)
            available.append(name)
        except WeightsError as error:
            show(f"{name} is not evaluated: {error}")
    return available


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate meshes`."""
    parser.add_argument(
        "photos",
        metavar="PHOTOS",
        nargs="?",
        help="folder that contains the photos, also in subfolders; needs --labels",
    )
    parser.add_argument("--labels", metavar="FILE", help="file of fits, written by `facegeom prepare labels`")
    parser.add_argument(
        "--aflw2000",
        metavar="DIR",
        help="folder of AFLW2000-3D with annotations.npz and images/: evaluate on these photos, too",
    )
    parser.add_argument(
        "--pipelines", metavar="P", nargs="+", choices=PIPELINES,
        help="pipelines to evaluate (default: all whose weights are installed)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, help="largest number of photos of each source (default: all)")
    parser.add_argument(
        "--spoiled", type=int, default=100, metavar="N",
        help="number of photos of each source that are also evaluated occluded, noisy and dark (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")
    parser.add_argument("--out", metavar="DIR", help="write pictures of the results to this folder")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the pictures that the command writes to the folder `--out`."""
    return [Path(args.out) / f"meshes_{source}.png" for source in ("test", "aflw2000")] if args.out else []


def run(args: argparse.Namespace) -> int:
    """Evaluate the meshes of the pipelines and write the results; return the exit code."""
    if bool(args.photos) != bool(args.labels) or not (args.photos or args.aflw2000):
        raise FacegeomError("evaluate meshes needs a folder with photos and --labels, or --aflw2000, or both")
    if args.limit is not None:
        check.count(args.limit, "limit", 1)
    check.count(args.spoiled, "spoiled")
    sources = []
    if args.photos:
        sources.append(held_out_cases(args.photos, args.labels, args.limit))
    if args.aflw2000:
        sources.append(aflw2000_cases(args.aflw2000, args.limit))

    def reconstructor(photo: ByteArray, box: Box, name: str) -> Reconstructed:
        return reconstruct_pipeline(photo, box, name, args.device)

    pipelines = args.pipelines or available_pipelines(args.device)
    results: list[MeshResult] = []
    tiles: dict[str, list[ByteArray]] = {}
    for cases in sources:
        source_results, tiles[cases[0].source] = evaluate(cases, pipelines, reconstructor, args.spoiled)
        results += source_results
    summary = summarise(results)
    show(format_summary(summary))
    if args.json:
        write_json(args.json, {**summary, "photos": results})
    if args.out:
        folder = picture_folder(args.out)
        captions = ["photo", "truth", *pipelines, MEAN_FACE]
        for source, pictures in tiles.items():
            page = sheet(pictures, len(captions), SHEET_SIZE, captions * (len(pictures) // len(captions)))
            save_image(page, folder / f"meshes_{source}.png")
    return 0
