"""`facegeom evaluate expressions`: openings of eyes and mouth on photos with closed and open eyes and mouths.

The photos are named in `expression_photos.json`. They are portraits and photos of LFW, all of test identities. They
were proposed by the FaceMesh points and then chosen by eye.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.images.boxes import Box
from facegeom.images.image_files import load_image
from facegeom.measures.openings import Openings, mesh_openings, openings
from facegeom.measures.report import show, table, write_json
from facegeom.reconstruction import reconstruct
from facegeom.training.data.labels import LANDMARK_ORIGIN, LANDMARK_UNIT, find_photos, read_landmark_files

PHOTOS = Path(__file__).with_name("expression_photos.json")

CLOSED_EYE, OPEN_EYE = 0.12, 0.22
"""Largest lid gap / width of an eye that is closed, and smallest of one that is open."""

CLOSED_MOUTH, WIDE_MOUTH = 0.03, 0.25
"""Largest visible gap / width of a closed mouth; largest difference of a wide one from the photo's, relative to it."""

BOX_POINTS = (70, 105, 107, 336, 334, 300, 234, 454, 172, 397, 152)
"""FaceMesh points of the brows, the sides and the chin; their bounding box is about that of the 68 landmarks."""

Finder = Callable[[ByteArray, Box], "MeshOpenings"]
"""Function (photo, box of the face) -> openings of the reconstructed face."""


class MeshOpenings(NamedTuple):
    """Openings of a reconstructed face: what is visible, and by the FaceMesh points on the mesh."""

    visible: Openings
    points: Openings


@dataclass(frozen=True)
class PhotoOpenings:
    """Openings of the face in one photo.

    Attributes
    ----------
    name : file name
    group : group of photos in `expression_photos.json`
    mesh : MeshOpenings of the reconstructed face
    photo : Openings of the FaceMesh points of the photo
    """

    name: str
    group: str
    mesh: MeshOpenings
    photo: Openings

    def measured(self) -> list[tuple[float, float, bool]]:
        """Return (opening of the mesh, opening in the photo, whether the mesh is right) for both eyes or the mouth."""
        visible, photo = self.mesh.visible, self.photo
        if self.group == "closed_eyes":
            return [(v, p, v <= CLOSED_EYE) for v, p in zip(visible[:2], photo[:2], strict=True)]
        if self.group == "open_eyes":
            return [(v, p, v >= OPEN_EYE) for v, p in zip(visible[:2], photo[:2], strict=True)]
        if self.group == "closed_mouth":
            return [(visible.mouth, photo.mouth, visible.mouth <= CLOSED_MOUTH)]
        mouth = self.mesh.points.mouth
        return [(mouth, photo.mouth, abs(mouth - photo.mouth) <= WIDE_MOUTH * photo.mouth)]


def read_groups() -> dict[str, list[str]]:
    """Return the groups of photos: "closed_eyes", "open_eyes", "wide_mouth", "closed_mouth" -> file names."""
    groups: dict[str, list[str]] = json.loads(PHOTOS.read_text(encoding="utf-8"))
    return groups


def read_landmarks(files: Sequence[str | Path]) -> dict[str, FloatArray]:
    """Return the FaceMesh points (478, 3), pixels, of the photos in files of `facegeom prepare landmarks`, by name."""
    names, landmarks = read_landmark_files(files)
    points = landmarks * LANDMARK_UNIT - LANDMARK_ORIGIN
    return {str(name).rsplit("/", 1)[-1]: values for name, values in zip(names, points, strict=True)}


def face_box(points: FloatArray) -> Box:
    """Return the box of the face with the FaceMesh points (478, 3), pixels."""
    some = points[list(BOX_POINTS), :2]
    (x0, y0), (x1, y1) = some.min(0).tolist(), some.max(0).tolist()
    return x0, y0, x1, y1


def measure(
    photos: dict[str, Path], landmarks: dict[str, FloatArray], find: Finder, limit: int | None = None
) -> Iterator[PhotoOpenings]:
    """Yield the openings in each photo of each group; photos in which no face is found are left out.

    Parameters
    ----------
    photos : file name -> path
    landmarks : result of `read_landmarks`
    find : the evaluated method
    limit : largest number of photos of each group; None: all

    Raises
    ------
    FacegeomError
        If a photo or its landmarks are missing.
    """
    chosen = [(name, group) for group, names in read_groups().items() for name in names[:limit]]
    for name, what in ((name, what) for name, _ in chosen for what in (photos, landmarks)):
        if name not in what:
            raise FacegeomError(f"there is no {'photo' if what is photos else 'row of landmarks'} {name}")
    for name, group in tqdm(chosen, desc="expressions", unit="photo"):
        try:
            found = find(load_image(photos[name]), face_box(landmarks[name]))
        except NoFaceFound:
            continue
        yield PhotoOpenings(name, group, found, openings(landmarks[name]))


def reconstructed_openings(photo: ByteArray, box: Box, device: str) -> MeshOpenings:
    """Return the openings of the mesh that the default pipeline makes of a photo."""
    found = reconstruct(photo, box=box, device=device)
    mesh = found.mesh
    visible = mesh_openings(mesh.vertices, mesh.faces, mesh.regions, found.landmarks468)
    return MeshOpenings(visible, openings(found.landmarks468))


def summarise(results: Sequence[PhotoOpenings], counts: dict[str, int]) -> dict[str, dict[str, float]]:
    """Return the figures of each group.

    Parameters
    ----------
    results : PhotoOpenings of all groups
    counts : group -> number of photos that were evaluated

    Returns
    -------
    dict
        Group -> "photos"; "missed", photos without a found face; "right", the share of the eyes or mouths that are
        right; "mesh" and "photo", medians of the openings.
    """
    summary = {}
    for group, count in counts.items():
        photos = [result for result in results if result.group == group]
        values = np.array([entry for result in photos for entry in result.measured()], dtype=np.float64)
        medians = np.median(values, axis=0) if len(values) else np.full(3, np.nan)
        summary[group] = {
            "photos": count,
            "missed": count - len(photos),
            "right": float(values[:, 2].mean()) if len(values) else float("nan"),
            "mesh": float(medians[0]),
            "photo": float(medians[1]),
        }
    return summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate expressions` to a parser."""
    parser.add_argument("photos", nargs="+", metavar="PHOTOS", help="folders of portraits and of LFW photos")
    parser.add_argument(
        "--landmarks", nargs="+", required=True, metavar="FILE", help="files of `facegeom prepare landmarks`"
    )
    parser.add_argument("--device", default="cpu", help="device of the networks (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="largest number of photos of each group (default: all)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return no file: the results are written to `--json` only."""
    return []


def run(args: argparse.Namespace) -> int:
    """Evaluate the openings, print the table and write the requested file; return the exit code."""
    limit = None if args.limit is None else check.count(args.limit, "--limit", 1)
    photos = {name: path for folder in args.photos for name, path in find_photos(folder).items()}
    find = partial(reconstructed_openings, device=args.device)
    results = list(measure(photos, read_landmarks(args.landmarks), find, limit))
    summary = summarise(results, {group: len(names[:limit]) for group, names in read_groups().items()})
    rows: list[list[str | float | int]] = [[group, *values.values()] for group, values in summary.items()]
    show("gap / width, medians; right: eyes or mouths within the limits")
    show(table(["group", "photos", "missed", "right", "mesh", "photo"], rows, digits=3))
    if args.json:
        plain: list[dict[str, Any]] = [
            {
                "name": result.name,
                "group": result.group,
                "visible": result.mesh.visible._asdict(),
                "points": result.mesh.points._asdict(),
                "photo": result.photo._asdict(),
            }
            for result in results
        ]
        write_json(args.json, {"benchmark": "expressions", "summary": summary, "photos": plain})
    return 0
