"""`facegeom evaluate rig`: heads from meshes in unknown places, and meshes without a face.

ICT heads of random shape are turned by uniformly distributed rotations, shifted and stored in mm, cm or m; some have
expressions, hair and shoulders, holes or noise. A head succeeds if the mean distance of its face from the true surface
is below 1 mm and the mean error of the 68 landmarks is below 5 mm. Meshes of other kinds without known landmarks are
measured by the distance only, and meshes without a face have to be refused.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation.rig_meshes import KINDS, UNITS_MM, HeadMaker, PlacedHead, non_faces
from facegeom.face_model import load_face_model
from facegeom.face_model.template import load_template
from facegeom.images.image_files import save_image
from facegeom.measures.report import show, table, write_json
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.render import Frame, render_mesh, tile, turn
from facegeom.rigging.rig import Rigged, rig

COUNT = 20
MOST_DISTANCE_MM, MOST_LANDMARK_MM = 1.0, 5.0
TILE = 260


@dataclass(frozen=True)
class HeadResult:
    """The errors of one head: NaN if no face was found.

    Attributes
    ----------
    distance_mm, p95_mm : mean and 95th percentile of the distance of the visible skin of the face from the true surface
    landmark_mm : mean error of the 68 landmarks
    skin_mm : mean error of the vertices of the face
    unit : whether the unit was recognised
    seconds : CPU time
    """

    distance_mm: float = float("nan")
    p95_mm: float = float("nan")
    landmark_mm: float = float("nan")
    skin_mm: float = float("nan")
    unit: bool = False
    seconds: float = float("nan")

    @property
    def success(self) -> bool:
        """Whether both errors are below their limits."""
        return self.distance_mm < MOST_DISTANCE_MM and self.landmark_mm < MOST_LANDMARK_MM


def evaluate_head(head: PlacedHead) -> tuple[HeadResult, Rigged | None]:
    """Return the errors of a head, and the result of `rig`, or None if no face was found."""
    start = time.process_time()
    try:
        rigged = rig((head.V, head.F), texture=None)
    except NoFaceFound:
        return HeadResult(seconds=time.process_time() - start), None
    seconds = time.process_time() - start
    model, millimetre = load_face_model(), UNITS_MM[head.unit]
    back = np.linalg.inv(rigged.transform)

    def in_scan(points: FloatArray) -> FloatArray:
        return np.asarray(points @ back[:3, :3].T + back[:3, 3])

    distance = scan_distance(rigged, in_scan(rigged.mesh.vertices), head.clean_V, head.clean_F) * millimetre
    skin = np.linalg.norm(in_scan(rigged.mesh.vertices[: len(model.mean)]) - head.skin, axis=1) * millimetre
    face = np.flatnonzero(model.regions["map"][: model.face_vertex_count])
    marks = np.linalg.norm(in_scan(rigged.landmarks) - head.skin[model.landmarks68], axis=1) * millimetre
    return HeadResult(
        float(distance.mean()),
        float(np.percentile(distance, 95)),
        float(marks.mean()),
        float(skin[face].mean()),
        rigged.unit == head.unit,
        seconds,
    ), rigged


def scan_distance(rigged: Rigged, vertices: FloatArray, V: FloatArray, F: IntArray) -> FloatArray:
    """Return the distances (k,) of the skin of the face that is visible from the front or the sides from a mesh.

    `vertices` (n, 3) are those of the head in the coordinates of the mesh.
    """
    template = load_template(head=True)
    count = template.fine.skin_count
    face = (template.fine.regions["map"] & template.fine.regions["face"])[:count]
    shown = np.zeros(count, np.bool_)
    for yaw in (0.0, 50.0, -50.0):
        placed = rigged.mesh.vertices @ turn(yaw).T
        pixels = placed * (2.0, -2.0, 1.0) + (300.0, 300.0, 0.0)
        depth = geometry.rasterize(pixels, rigged.mesh.faces, None, (600, 600)).depth
        column, row = np.clip(np.rint(pixels[:count, :2]), 0, 599).astype(np.int64).T
        shown |= pixels[:count, 2] > np.nan_to_num(depth[row, column], nan=-np.inf) - 1.0
    return geometry.closest_points(V, F, vertices[:count][face & shown]).distance


def evaluate_heads(path: str | Path, kind: str, count: int, pictures: list[Any] | None = None) -> dict[str, Any]:
    """Return the share of successes and the mean errors of `count` heads of a kind."""
    maker, results = HeadMaker(path), []
    for number in tqdm(range(count), desc=kind, unit="head"):
        head = maker.make(kind, number)
        result, rigged = evaluate_head(head)
        results.append(result)
        if pictures is not None and number < 1:
            pictures.append((kind, FaceMesh(head.V, head.F), rigged))
    return summarise(results)


def summarise(results: list[HeadResult]) -> dict[str, Any]:
    """Return the share of successes, and means over the heads that were found."""
    found = [result for result in results if np.isfinite(result.distance_mm)]
    means = {
        name: float(np.mean([getattr(result, name) for result in found])) if found else float("nan")
        for name in ("distance_mm", "p95_mm", "landmark_mm", "skin_mm")
    }
    return {
        "heads": len(results),
        "found": len(found),
        "success": sum(result.success for result in results) / len(results),
        "unit": sum(result.unit for result in results) / len(results),
        **means,
        "seconds": float(np.median([result.seconds for result in results])),
    }


def evaluate_mesh(path: str, pictures: list[Any] | None = None) -> dict[str, Any]:
    """Return what `rig` makes of a mesh file without known landmarks."""
    mesh = FaceMesh.load(path)
    start = time.process_time()
    rigged = rig(mesh)
    seconds = time.process_time() - start
    if pictures is not None:
        pictures.append((Path(path).name, mesh, rigged))
    back = np.linalg.inv(rigged.transform)
    in_scan = rigged.mesh.vertices @ back[:3, :3].T + back[:3, 3]
    distance = scan_distance(rigged, in_scan, mesh.vertices, mesh.faces) * rigged.mm_per_unit
    return {
        "distance_mm": float(distance.mean()),
        "p95_mm": float(np.percentile(distance, 95)),
        "coverage": rigged.coverage,
        "unit": rigged.unit or "none",
        "seconds": seconds,
    }


def evaluate_non_faces(count: int) -> dict[str, Any]:
    """Return the share of meshes without a face that are refused, and the names of the others."""
    accepted = []
    for name, V, F in tqdm(non_faces(count), total=count, desc="no face", unit="mesh"):
        try:
            rig((V, F), texture=None)
        except NoFaceFound:
            continue
        accepted.append(name)
    return {"meshes": count, "refused": 1 - len(accepted) / count, "accepted": ", ".join(accepted) or "none"}


def picture_sheet(pictures: list[Any]) -> Any:
    """Return a sheet of meshes and of the heads made from them."""
    frame, rows = Frame((0.0, -25.0, -60.0), 320.0), []
    for name, mesh, rigged in pictures:
        if rigged is None:
            continue
        matrix = rigged.transform
        placed = FaceMesh(
            mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3],
            mesh.faces,
            mesh.uv,
            mesh.uv_faces,
            mesh.texture,
            mesh.colors,
        )
        row = []
        for yaw in (0.0, 45.0):
            for caption, shown in ((name, placed), ("head", rigged.mesh), ("neutral", rigged.neutral)):
                picture = render_mesh(shown, turn(yaw), size=TILE, frame=frame, colors=shown.texture is not None)
                row.append((caption, picture))
        rows.append(row)
    return tile(rows, TILE, 6)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate rig`."""
    parser.add_argument("meshes", nargs="*", metavar="MESH", help="mesh files of heads, such as scans")
    parser.add_argument("--ict", metavar="FILE", help="path of ict_face_model.npz: placed heads of known shape")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of the heads (default: all)"
    )
    parser.add_argument(
        "--count", type=int, default=COUNT, metavar="N", help="number of heads of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--non-faces", type=int, default=0, metavar="N", help="number of meshes without a face (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="FILE.jpg", help="picture of some of the meshes and heads")
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the results; return the exit code."""
    count, other = check.count(args.count, "--count", 1), check.count(args.non_faces, "--non-faces")
    if not (args.meshes or args.ict or other):
        raise FacegeomError("evaluate rig needs MESH files, --ict or --non-faces")
    results: dict[str, dict[str, Any]] = {}
    pictures: list[Any] | None = [] if args.out else None
    if args.ict:
        for kind in args.kinds:
            results[kind] = evaluate_heads(args.ict, kind, count, pictures)
    for path in args.meshes:
        results[Path(path).name] = evaluate_mesh(path, pictures)
    if other:
        results["no face"] = evaluate_non_faces(other)
    rows = [[f"{part}: {name}", value] for part, values in results.items() for name, value in values.items()]
    show(table(["", "value"], rows, digits=3))
    if args.out and pictures:
        save_image(picture_sheet(pictures), args.out)
    if args.json:
        write_json(args.json, {"benchmark": "rig", **results})
    return 0
