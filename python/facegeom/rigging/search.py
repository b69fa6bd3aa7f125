"""The face on a mesh of unknown orientation: views from all sides, a detector, and a second look from the front."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.detection import yunet
from facegeom.errors import NoFaceFound
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import crop_affine
from facegeom.pipelines.map_prediction import MapPrediction, predict_maps
from facegeom.rigging.scan import RADIUS, Picture, Scan

log = logging.getLogger("facegeom")


@dataclass(frozen=True)
class SearchOptions:
    """Options of the search of a face on a mesh."""

    directions: int = 24  # number of view directions, evenly spread; neighbours are about 40 degrees apart
    sizes: tuple[int, ...] = (192, 400)  # side lengths of the pictures, pixels; the next if the one before has no face
    field: float = 2.1  # side of the field of a picture / radius of the mesh
    least_score: float = 0.5  # minimum score of the detector
    sure_score: float = 0.85  # score of the detector from which the networks look at once, before all sides are seen
    candidates: int = 5  # largest number of detections that the networks look at
    look_size: int = 320  # side length of the pictures for the networks, pixels
    look_field: float = 2.4  # side of the field of such a picture / mean side of the box of the face
    least_map_score: float = 0.5  # minimum score of the maps in the look from the front


class Seen(NamedTuple):
    """A face seen from the front: the picture of the mesh, and the prediction for it."""

    picture: Picture
    prediction: MapPrediction


class _Candidate(NamedTuple):
    score: float
    camera: Camera  # of a picture with an upright face
    box: Box  # of the landmarks in this picture


def find_face(scan: Scan, device: str, backend: str, options: SearchOptions = SearchOptions()) -> Seen:
    """Return the face on a mesh, seen from the front.

    Parameters
    ----------
    scan : Scan
    device, backend : where the networks run
    options : SearchOptions

    Raises
    ------
    NoFaceFound
        If no view shows a face.

    Notes
    -----
    Noise hides a face from the detector: on a noisy mesh, the face is also searched after smoothing.
    """
    seen = _seen_face(scan, device, backend, options)
    if seen is None and scan.smoothed is not None:
        seen = _seen_face(scan.smoothed, device, backend, options)
    if seen is None:
        raise NoFaceFound("no face was found on the mesh, from any side; give the landmarks of the face")
    return seen


def _seen_face(scan: Scan, device: str, backend: str, options: SearchOptions) -> Seen | None:
    for size in options.sizes:
        waiting: list[_Candidate] = []
        left = options.candidates
        for found in _candidates(scan.coarse, size, options):
            best = max(found, key=lambda one: one.score, default=None)
            if best is not None and best.score >= options.sure_score and left > 1:
                seen = _from_front(scan, best, device, backend, options)
                if seen is not None:
                    return seen
                left -= 1
            waiting += [one for one in found if one is not best or best.score < options.sure_score]
        for candidate in sorted(waiting, key=lambda one: -one.score)[:left]:
            seen = _from_front(scan, candidate, device, backend, options)
            if seen is not None:
                return seen
    return None


def directions(count: int) -> FloatArray:
    """Return evenly spread unit vectors (count, 3): a spiral of Fibonacci on the sphere."""
    steps = np.arange(count) + 0.5
    z, angle = 1 - 2 * steps / count, np.pi * (1 + 5**0.5) * steps
    return np.column_stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z])


def rotation_to(direction: FloatArray, up: FloatArray) -> FloatArray:
    """Return the rotation (3, 3) to the frame of a camera that looks from a direction, with `up` upwards."""
    ahead = direction / np.linalg.norm(direction)
    across = np.cross(up, ahead)
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(ahead, across), ahead])


def _candidates(scan: Scan, size: int, options: SearchOptions) -> Iterator[list[_Candidate]]:
    """Yield the detections in a picture of the mesh from each direction."""
    scale = size / (options.field * RADIUS)
    middle = np.full(2, 0.5 * (size - 1))
    for direction in directions(options.directions)[_jumps(options.directions)]:
        up = np.eye(3)[int(np.argmin(np.abs(direction)))]
        rotation = rotation_to(direction, up)
        image = scan.seen_by(Camera(rotation, scale, middle), size).image
        found = []
        for quarter in range(4):
            turned = np.ascontiguousarray(np.rot90(image, quarter))  # counter-clockwise
            raw = yunet.raw_faces(turned)
            camera = Camera(_rolled(rotation, 90.0 * quarter), scale, middle)
            rolls = yunet.points_roll_deg(raw.points)
            for box, roll, score in zip(yunet.CONVERSION(raw.boxes), rolls, raw.scores, strict=True):
                if score >= options.least_score:
                    found.append(_upright(camera, box, float(roll), float(score)))
        yield found


def _jumps(count: int) -> IntArray:
    """Return the numbers from 0 to `count` - 1 in an order in which neighbours are far apart."""
    step = next(step for step in range(int(0.382 * count) + 1, count + 1) if np.gcd(step, count) == 1)
    return np.arange(count) * step % count


def _rolled(rotation: FloatArray, degrees: float) -> FloatArray:
    """Return the rotation of a camera whose picture is turned counter-clockwise."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ rotation


def _upright(camera: Camera, box: FloatArray, roll: float, score: float) -> _Candidate:
    """Return a detection in a picture as one in a picture that is turned so that the face is upright."""
    centre = 0.5 * (box[:2] + box[2:])
    half = 0.5 * (box[2:] - box[:2])
    turned = Camera(_rolled(camera.rotation, -roll), camera.scale, camera.translation)
    middle = camera.translation
    x, y = (centre - middle) * (1, -1)
    cosine, sine = np.cos(np.radians(-roll)), np.sin(np.radians(-roll))
    x, y = cosine * x - sine * y, sine * x + cosine * y
    place = middle + np.array([x, -y])
    low, high = place - half, place + half
    return _Candidate(score, turned, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))


def _from_front(scan: Scan, candidate: _Candidate, device: str, backend: str, options: SearchOptions) -> Seen | None:
    """Return the prediction for a candidate, seen from where the prediction before says that the front is."""
    camera, box = candidate.camera, candidate.box
    seen = None
    for _ in range(2):
        picture, place = _close_up(scan, camera, box, options)
        try:
            prediction = predict_maps(picture.image, place, device, backend=backend)
        except NoFaceFound:
            return None
        log.debug("face of score %.2f on the mesh: score %.2f of the maps", candidate.score, prediction.score)
        seen = Seen(picture, prediction)
        found = lifted(picture, prediction.camera.project(prediction.landmarks))
        if found is None:
            return None
        rotation = prediction.camera.rotation.T @ picture.camera.rotation  # from the mesh to the face frame
        camera = Camera(rotation, picture.camera.scale, picture.camera.translation)
        around = camera.project(found)
        (x0, y0), (x1, y1) = around.min(axis=0).tolist(), around.max(axis=0).tolist()
        box = (x0, y0, x1, y1)
    if seen is None or seen.prediction.score < options.least_map_score:
        return None
    return seen


def _close_up(scan: Scan, camera: Camera, box: Box, options: SearchOptions) -> tuple[Picture, Box]:
    """Return a picture of the surroundings of a box, and the box in this picture."""
    side = options.look_field * 0.5 * (box[2] - box[0] + box[3] - box[1])
    x, y = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])
    square = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    affine = crop_affine(square, options.look_size)
    factor = float(affine[0, 0])
    closer = Camera(camera.rotation, camera.scale * factor, affine[:, :2] @ camera.translation + affine[:, 2])
    corners = np.array(box).reshape(2, 2) @ affine[:, :2].T + affine[:, 2]
    (x0, y0), (x1, y1) = corners.tolist()
    return scan.seen_by(closer, options.look_size), (x0, y0, x1, y1)


def lifted(picture: Picture, places: FloatArray, least: float = 0.5) -> FloatArray | None:
    """Return the points (n, 3) of the mesh at pixels (n, 2); those beside it have the median depth of the others.

    None if less than a share `least` of the pixels show the mesh.
    """
    size = len(picture.depth)
    column, row = np.clip(np.rint(places), 0, size - 1).astype(np.int64).T
    depth = picture.depth[row, column]
    shown = np.isfinite(depth)
    if shown.mean() < least:
        return None
    return picture.camera.unproject(places, np.where(shown, depth, np.median(depth[shown])))
