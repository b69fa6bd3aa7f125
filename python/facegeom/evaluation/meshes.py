"""`facegeom evaluate meshes`: distance of every pipeline's mesh from the true surface, mm in the photo's camera frame.

The truth is the face model fitted to a photo: to its dense landmarks (test identities of the LFW split) or to the 68
annotated 3-D points (AFLW2000-3D, by the calibrated definition of the points). What is compared, and how, is said in
`facegeom.evaluation.mesh_truth`.
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
from facegeom.evaluation.aflw2000 import ORIGIN
from facegeom.evaluation.detection import evenly_spread
from facegeom.evaluation.mesh_truth import TAUS, MeshScore, Surface, Truth, face_triangles
from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import face_region
from facegeom.face_model.fitting import Fit, fit_landmarks68
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import crop_image
from facegeom.images.image_files import load_image, save_image
from facegeom.measures.metrics import YAW_BINS, landmark_box
from facegeom.measures.predictor import mean_face_in_box
from facegeom.measures.report import picture_folder, sheet, show, table, write_json
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.networks.mesh_network import MESH_PIPELINES
from facegeom.pipelines import PIPELINES
from facegeom.pipelines.mesh_prediction import mesh_network
from facegeom.reconstruction import predict, reconstruct
from facegeom.render import Frame, render_mesh
from facegeom.training.data.labels import Labels, find_photos, yaw_deg
from facegeom.training.data.split import split_names

MEAN_FACE = "mean face"

CONDITIONS = ("as it is", "25 % occluded", "noise 0.1", "noise 0.25", "dark")
DARKNESS = 0.25  # of the values
OCCLUDER = 128  # gray

PUBLISHED = (
    ("Pixel2Mesh for faces, table 1", "AFLW2000 (200 photos)", "CD 0.039, F(tau) 57.28 %, F(2 tau) 77.54 %"),
    ("GCN-IGAN, table 3", "300W-LP", "CD 0.0075, EMD 0.1200"),
    ("GCN-IGAN, table 3", "AFLW2000-3D", "CD 0.0573, EMD 0.2800"),
)
"""What the papers state, in units that they do not: their truth is fits of the Basel model, their tau is unknown."""

FIGURES = {
    "found_percent": "found %",
    "chamfer_mm": "CD mm",
    "chamfer_squared_mm2": "CD mm^2",
    "emd_mm": "EMD mm",
    "emd_floor_mm": "its floor",
    **{f"f_{tau:.0f}mm_percent": f"F {tau:.0f} mm %" for tau in TAUS},
    "chamfer_shown_mm": "CD* mm",
    **{f"f_shown_{tau:.0f}mm_percent": f"F* {tau:.0f} mm %" for tau in TAUS},
    "left_out_percent": "left out %",
    "milliseconds": "ms",
}
"""Figures of a row of the summary, and their headings."""

SHEET_ROWS, SHEET_SIZE = 10, 160

Reconstructed: TypeAlias = tuple[FaceMesh, Camera, float]
Reconstructor: TypeAlias = Callable[[ByteArray, Box, str], Reconstructed]


@dataclass(frozen=True)
class Case:
    """A photo whose face is known.

    Attributes
    ----------
    source : "test" or "aflw2000"
    name : of the photo
    path : of its file
    fit : Fit, the face model in the photo's pixels
    yaw : degrees
    """

    source: str
    name: str
    path: Path
    fit: Fit
    yaw: float

    @property
    def box(self) -> Box:
        """The box of the 68 landmarks, x0, y0, x1, y1 in pixels."""
        model = load_face_model()
        camera = Camera(self.fit.rotation, self.fit.scale, self.fit.translation)
        x0, y0, x1, y1 = landmark_box(camera.project(self.fit.vertices(model)[model.landmarks68])).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True)
class MeshResult:
    """A pipeline's mesh of one photo; where it found no face, `score` is that of the mean face in the annotated box."""

    source: str
    name: str
    yaw: float
    condition: str
    pipeline: str
    found: bool
    milliseconds: float  # NaN where nothing was found, and for the mean face
    score: MeshScore


def spoil(photo: ByteArray, condition: str, box: Box, seed: int) -> ByteArray:
    """Return the photo under a condition of `CONDITIONS`.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    condition : "25 % occluded": a gray rectangle of a quarter of the box's area, somewhere within the box; "noise s":
        Gaussian, with standard deviation s of the range of values; "dark": a quarter of the values
    box : of the 68 landmarks
    seed : of place and noise
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


def held_out_cases(photos: str | Path, labels: str | Path, limit: int | None = None) -> list[Case]:
    """Return photos of test identities whose fit may serve as truth, evenly spread where there are more than `limit`.

    Raises
    ------
    FacegeomError
        When there is none.
    """
    found, fits = find_photos(photos), Labels.load(labels)
    test = split_names([str(name) for name in fits.names]).test
    rows = [int(row) for row in np.intersect1d(test, fits.kept) if str(fits.names[row]) in found]
    if not rows:
        raise FacegeomError(f"no test photo with a usable fit is below {photos}")
    yaws = yaw_deg(fits.rotation.astype(np.float64))
    return [
        Case("test", str(fits.names[row]), found[str(fits.names[row])], fits.fit(row), float(yaws[row]))
        for row in (rows[item] for item in evenly_spread(len(rows), limit or len(rows)))
    ]


def aflw2000_cases(folder: str | Path, limit: int | None = None) -> list[Case]:
    """Return the photos of AFLW2000-3D with the face model fitted to their 68 annotated 3-D points.

    Raises
    ------
    FacegeomError
        When the annotations are not there.
    """
    path = Path(folder) / "annotations.npz"
    if not path.is_file():
        raise FacegeomError(f"{path} is not there: the folder must hold annotations.npz and images/")
    model = load_face_model()
    with np.load(path) as data:
        names, points = data["names"], data["points68"].transpose(0, 2, 1).astype(np.float64)
        yaws = data["pitch_yaw_roll_deg"][:, 1]
    points[..., :2] -= ORIGIN["original"]
    return [
        Case(
            "aflw2000",
            str(names[row]),
            Path(folder) / "images" / f"{names[row]}.jpg",
            fit_landmarks68(model, points[row]),
            float(yaws[row]),
        )
        for row in evenly_spread(len(names), limit or len(names))
    ]


def reconstruct_pipeline(photo: ByteArray, box: Box, name: str, device: str = "cpu") -> Reconstructed:
    """Return a pipeline's mesh, its camera and the milliseconds that it took, reading the photo excepted."""
    rec = reconstruct(photo, box=box, pipeline=name, device=device)
    return rec.mesh, rec.camera, sum(rec.timings.values()) - rec.timings["loading"]


def evaluate_case(
    case: Case, pipelines: Sequence[str], conditions: Sequence[str], reconstructor: Reconstructor
) -> tuple[list[MeshResult], list[Surface]]:
    """Measure all pipelines, and the mean face seen by pix2vertex's camera, on one photo.

    Parameters
    ----------
    case : Case
    pipelines : their names
    conditions : of `CONDITIONS`
    reconstructor : from a photo, the box of its 68 landmarks and a pipeline's name to mesh, camera and milliseconds

    Returns
    -------
    results : one a condition and pipeline
    surfaces : the truth, and each pipeline's mesh under the first condition

    Notes
    -----
    All pipelines are given the true box, so that in a photo of several people they see the same one; the time of
    facegeom's own detection is added to theirs.
    """
    model = load_face_model()
    seed = zlib.crc32(case.name.encode())
    truth, box = Truth(model, case.fit, seed), case.box
    clean = load_image(case.path)
    results, surfaces = [], [truth.surface]
    for condition in conditions:
        photo = spoil(clean, condition, box, seed)
        spent: dict[str, float] = {}
        with stopwatch(spent, "detection"):
            detection.detect(photo)
        camera: Camera | None = None
        for name in (*pipelines, MEAN_FACE):
            found = True
            try:
                if name == MEAN_FACE:
                    camera = camera or predict(photo, box).camera
                    mesh, taken = truth.place(model.mean, face_region(model), camera), float("nan")
                else:
                    made, seen_by, taken = reconstructor(photo, box, name)
                    mesh, taken = truth.place(made.vertices, face_triangles(made), seen_by), taken + spent["detection"]
                    camera = seen_by if name == "pix2vertex" else camera
            except NoFaceFound:
                found, taken = False, float("nan")
                mesh = truth.place(model.mean, face_region(model), mean_face_in_box(model, box))
            results.append(
                MeshResult(case.source, case.name, case.yaw, condition, name, found, taken, truth.score(mesh))
            )
            if condition == conditions[0]:
                surfaces.append(mesh)
    return results, surfaces


def evaluate(
    cases: Sequence[Case], pipelines: Sequence[str], reconstructor: Reconstructor, spoiled: int = 0
) -> tuple[list[MeshResult], list[ByteArray]]:
    """Measure all pipelines on all photos, and under all conditions on `spoiled` of them, evenly spread.

    Returns
    -------
    results : in the order of the cases
    tiles : pictures of the first photos: the photo, the truth and each mesh, as the true camera sees them
    """
    results: list[MeshResult] = []
    tiles: list[ByteArray] = []
    chosen = set(evenly_spread(len(cases), spoiled)) if spoiled else set()
    for name in pipelines:  # once before the clock runs: networks are loaded by then
        with contextlib.suppress(NoFaceFound):
            reconstructor(load_image(cases[0].path), cases[0].box, name)
    for number, case in enumerate(tqdm(cases, desc="meshes", unit="photo")):
        conditions = CONDITIONS if number in chosen else CONDITIONS[:1]
        more, surfaces = evaluate_case(case, pipelines, conditions, reconstructor)
        results += more
        if number < SHEET_ROWS:
            tiles += case_pictures(case, surfaces)
    return results, tiles


def case_pictures(case: Case, surfaces: Sequence[Surface]) -> list[ByteArray]:
    """Return the crop of the photo, and the surfaces in the same frame and scale, the truth first."""
    meshes = [FaceMesh(surface.V, surface.F) for surface in surfaces]
    frame = Frame.around(FaceMesh(surfaces[0].V[np.unique(surfaces[0].F)], np.zeros((0, 3), np.int64)))
    fit = case.fit
    half = 0.5 * frame.extent * fit.scale
    x = fit.translation[0] + frame.center[0] * fit.scale
    y = fit.translation[1] - frame.center[1] * fit.scale
    photo = crop_image(load_image(case.path), (x - half, y - half, x + half, y + half), SHEET_SIZE)
    return [photo, *(render_mesh(mesh, size=SHEET_SIZE, frame=frame) for mesh in meshes)]


def summarise(results: Sequence[MeshResult]) -> dict[str, Any]:
    """Return the means by source, photos and pipeline: all photos, by absolute yaw, and those under all conditions."""
    rows = []
    for source in dict.fromkeys(result.source for result in results):
        mine = [result for result in results if result.source == source]
        plain = [result for result in mine if result.condition == CONDITIONS[0]]
        rows += _mean_rows(source, CONDITIONS[0], "all", plain)
        for low, high in YAW_BINS:
            last = high == YAW_BINS[-1][1]
            rows += _mean_rows(
                source,
                CONDITIONS[0],
                f"{low:.0f}-{high:.0f}",
                [result for result in plain if low <= abs(result.yaw) and (abs(result.yaw) < high or last)],
            )
        spoiled = {result.name for result in mine if result.condition != CONDITIONS[0]}
        for condition in CONDITIONS if spoiled else ():
            some = [result for result in mine if result.condition == condition and result.name in spoiled]
            rows += _mean_rows(source, condition, "some", some)
    return {"benchmark": "meshes", "rows": rows, "published": [list(row) for row in PUBLISHED]}


def _mean_rows(source: str, condition: str, photos: str, results: Sequence[MeshResult]) -> list[dict[str, Any]]:
    rows = []
    for pipeline in dict.fromkeys(result.pipeline for result in results):
        mine = [result for result in results if result.pipeline == pipeline]
        scores = [result.score for result in mine]
        spent = [result.milliseconds for result in mine if np.isfinite(result.milliseconds)]
        rows.append(
            {
                "source": source,
                "condition": condition,
                "yaw": photos,
                "pipeline": pipeline,
                "photos": len(mine),
                "found_percent": 100.0 * float(np.mean([result.found for result in mine])),
                "chamfer_mm": float(np.mean([score.chamfer for score in scores])),
                "chamfer_squared_mm2": float(np.mean([score.chamfer_squared for score in scores])),
                "emd_mm": float(np.mean([score.emd for score in scores])),
                "emd_floor_mm": float(np.mean([score.emd_floor for score in scores])),
                **{f"f_{tau:.0f}mm_percent": 100.0 * float(np.mean([s.f_score[tau] for s in scores])) for tau in TAUS},
                "chamfer_shown_mm": float(np.mean([score.chamfer_shown for score in scores])),
                **{
                    f"f_shown_{tau:.0f}mm_percent": 100.0 * float(np.mean([s.f_score_shown[tau] for s in scores]))
                    for tau in TAUS
                },
                "left_out_percent": 100.0 * float(np.mean([score.left_out for score in scores])),
                "milliseconds": float(np.median(spent)) if spent else float("nan"),
            }
        )
    return rows


def format_summary(summary: dict[str, Any]) -> str:
    """Return the figures of `summarise` as a table, the papers' own below it."""
    lines = table(
        ["photos", "|yaw|", "pipeline", "n", *FIGURES.values()],
        [
            [f"{row['source']}, {row['condition']}", row["yaw"], row["pipeline"], row["photos"]]
            + [row[figure] for figure in FIGURES]
            for row in summary["rows"]
        ],
    )
    published = "\n".join(f"  {paper}, {data}: {values}" for paper, data, values in summary["published"])
    lines += "\n\n* with the depth set by what both surfaces show to the camera, not by all of both"
    return f"{lines}\n\nas published, not comparable (another truth, unknown units and tau):\n{published}"


def available_pipelines(device: str) -> list[str]:
    """Return the pipelines whose weights are there, and say which are left out."""
    available = []
    for name in PIPELINES:
        try:
            if name in MESH_PIPELINES:
                mesh_network(name, device)
            available.append(name)
        except WeightsError as error:
            show(f"{name} is left out: {error}")
    return available


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate meshes`."""
    parser.add_argument("photos", metavar="PHOTOS", nargs="?", help="folder of photos; needs --labels")
    parser.add_argument("--labels", metavar="FILE", help="file of `facegeom prepare labels`")
    parser.add_argument("--aflw2000", metavar="DIR", help="folder of annotations.npz and images/: evaluate there too")
    parser.add_argument(
        "--pipelines", metavar="P", nargs="+", choices=PIPELINES, help="default: all whose weights are there"
    )
    parser.add_argument("--limit", type=int, help="at most so many photos of each kind")
    parser.add_argument(
        "--spoiled", type=int, default=100, metavar="N",
        help="photos of each kind that are occluded, noisy and dark as well (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu", help="where the networks run (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    parser.add_argument("--out", metavar="DIR", help="write pictures to this folder")


def run(args: argparse.Namespace) -> int:
    """Measure the pipelines' meshes."""
    if bool(args.photos) != bool(args.labels) or not (args.photos or args.aflw2000):
        raise FacegeomError("evaluate meshes needs a folder of photos with --labels, --aflw2000, or both")
    if args.limit is not None:
        check.count(args.limit, "limit", 1)
    check.count(args.spoiled, "spoiled")
    kinds = []
    if args.photos:
        kinds.append(held_out_cases(args.photos, args.labels, args.limit))
    if args.aflw2000:
        kinds.append(aflw2000_cases(args.aflw2000, args.limit))

    def reconstructor(photo: ByteArray, box: Box, name: str) -> Reconstructed:
        return reconstruct_pipeline(photo, box, name, args.device)

    pipelines = args.pipelines or available_pipelines(args.device)
    results: list[MeshResult] = []
    tiles: dict[str, list[ByteArray]] = {}
    for cases in kinds:
        more, tiles[cases[0].source] = evaluate(cases, pipelines, reconstructor, args.spoiled)
        results += more
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
