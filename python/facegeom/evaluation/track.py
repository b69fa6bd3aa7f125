"""`facegeom evaluate track`: errors, jitter and lag of tracked synthetic videos, beside each frame on its own.

The videos are those of `facegeom.evaluation.track_sequences`. Compared are each frame as a photo of its own
(`facegeom.predict`, in the parts rest and speech only, because it is slow), the tracker without smoothing, `track_live`
and `track`. No real video has been evaluated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.evaluation.track_sequences import (
    FPS,
    PARTS,
    Actor,
    Curves,
    blink,
    camera_of,
    draw_curves,
    render_frames,
    rotation_of,
)
from facegeom.face_model import load_face_model
from facegeom.face_model.blendshapes import ARKIT_NAMES, GAZE_DEGREES, arkit_weights
from facegeom.face_model.fitting import possible_expression
from facegeom.face_model.point_fit import similarity
from facegeom.images.image_files import load_image
from facegeom.measures.report import show, table, write_json
from facegeom.pipelines.map_prediction import predict_maps
from facegeom.reconstruction import demo_photo
from facegeom.tracking import whole_video
from facegeom.tracking.frame_fit import FrameFit
from facegeom.tracking.head import plain_head
from facegeom.tracking.live import LiveFilter
from facegeom.tracking.parts import record
from facegeom.tracking.smoothing import OneEuro, quaternions, smooth, unwrapped
from facegeom.tracking.tracker import Tracker
from facegeom.tracking.video import open_video
from facegeom.training.data.labels import find_photos
from facegeom.training.data.split import split_names

SEED = 24
SINGLE = ("rest", "speech")
"""Parts in which each frame is also predicted on its own."""

MESH_EVERY = 10
"""Interval of frames whose vertices are compared."""

BLINKS, BLINK_NOISE, KEPT = 200, 0.015, 0.8
"""Number of synthetic blinks, noise of their weights, and share of the peak that a blink should keep."""

MEASURED: IntArray = np.flatnonzero([not name.startswith("eyeLook") and name != "tongueOut" for name in ARKIT_NAMES])
"""Weights whose errors are averaged: all that a fit can move. The gaze is compared in degrees."""

LOOKS = tuple(name for name in ARKIT_NAMES if name.startswith("eyeLook"))

SOURCES = ("generated", "sfhq")

Track = tuple[FloatArray, FloatArray]
"""Weights (n, 52) and rotations (n, 3, 3); NaN in frames that are left out."""


def degrees_between(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the angles (n,) between rotations (n, 3, 3), degrees."""
    cosine = 0.5 * (np.einsum("nij,nij->n", first, second) - 1.0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def jitter(values: FloatArray) -> float:
    """Return the root mean square of the second differences of curves (n, c)."""
    return float(np.sqrt((np.diff(values, 2, axis=0) ** 2).mean())) if len(values) > 2 else float("nan")


def lag_frames(found: FloatArray, truth: FloatArray, most: float = 3.0) -> float:
    """Return the number of frames by which a curve (n,) is late: the delay of the true curve (n,), with any scale and
    offset, that fits best.
    """
    frames = np.arange(len(truth), dtype=np.float64)
    shifts = np.arange(-most, most + 0.01, 0.25)
    errors = []
    for shift in shifts:
        design = np.column_stack([np.interp(frames - shift, frames, truth), np.ones(len(truth))])
        rest = found - design @ np.linalg.lstsq(design, found, rcond=None)[0]
        errors.append(float(rest @ rest))
    return float(shifts[int(np.argmin(errors))])


def single_frames(frames: Iterable[ByteArray], chosen: set[int]) -> Track:
    """Return what each of the chosen frames shows on its own."""
    model = load_face_model()
    weights: list[FloatArray] = []
    rotations: list[FloatArray] = []
    for number, frame in enumerate(frames):
        if number not in chosen:
            weights.append(np.full(len(ARKIT_NAMES), np.nan))
            rotations.append(np.full((3, 3), np.nan))
            continue
        found = predict_maps(frame)
        named = arkit_weights(possible_expression(model, found.fit.expression))
        weights.append(np.array(list(named.values())))
        rotations.append(found.camera.rotation @ axes_of(model.vertices(found.fit.identity)))
    return np.array(weights), np.array(rotations)


def axes_of(vertices: FloatArray) -> FloatArray:
    """Return the rotation (3, 3) of the mean face that fits the vertices (n, 3) of a neutral face best.

    Components of the identity turn the face a little. Poses of faces with other coefficients are compared by these
    axes.
    """
    model = load_face_model()
    face = np.flatnonzero(model.regions["map"][: model.face_vertex_count])
    return similarity(model.mean[face], vertices[face])[0]


def gaze_degrees(weights: FloatArray) -> FloatArray:
    """Return yaw and pitch (n, 2), degrees, of the mean gaze of both eyes."""
    degrees = {name: GAZE_DEGREES[name[:-4] if name.endswith("Left") else name[:-5]] for name in LOOKS}
    turned = {name: degrees[name] * weights[:, ARKIT_NAMES.index(name)] for name in LOOKS}
    yaw = turned["eyeLookOutLeft"] - turned["eyeLookInLeft"] + turned["eyeLookInRight"] - turned["eyeLookOutRight"]
    pitch = sum(turned[f"eyeLookUp{side}"] - turned[f"eyeLookDown{side}"] for side in ("Left", "Right"))
    return np.asarray(0.5 * np.column_stack([yaw, pitch]))


def errors_of(track: Track, curves: Curves, axes: FloatArray) -> dict[str, float]:
    """Return the errors, the jitter and the lag of a track; `axes` (3, 3) are those of the true head, see `axes_of`."""
    weights, rotations = track
    true = np.array([rotation_of(angles) for angles in curves.angles]) @ axes
    known = np.isfinite(weights[:, 0])
    result: dict[str, float] = {}
    rest = curves.of("rest")[5:]  # after the first frames, in which the tracker settles
    steady = None  # the rotations without the constant offset of the face's own axes
    if len(rest):
        left, _, right = np.linalg.svd(np.einsum("nji,njk->ik", true[rest], rotations[rest]))
        steady = rotations @ (left @ right).T
    for part in PARTS:
        rows = curves.of(part)
        rows = rows[known[rows]]
        if len(rows):
            result[f"{part}: pose, degrees"] = float(degrees_between(rotations[rows], true[rows]).mean())
            if steady is not None:
                result[f"{part}: pose without the offset at rest, degrees"] = float(
                    degrees_between(steady[rows], true[rows]).mean()
                )
            result[f"{part}: weights"] = float(np.abs(weights[rows] - curves.weights[rows])[:, MEASURED].mean())
    if len(rest):
        result["rest: jitter of weights"] = jitter(weights[rest][:, MEASURED])
        turns = unwrapped(quaternions(rotations[rest]))
        result["rest: jitter of pose, degrees"] = float(np.degrees(2.0 * jitter(turns)))
    looking = curves.of("looks")
    if len(looking) and known[looking].all():
        error = gaze_degrees(weights[looking]) - gaze_degrees(curves.weights[looking])
        result["looks: yaw of the eyes, degrees"], result["looks: pitch of the eyes, degrees"] = np.abs(error).mean(0)
    talking, jaw = curves.of("speech"), ARKIT_NAMES.index("jawOpen")
    if len(talking):
        result["lag of the jaw, frames"] = lag_frames(weights[talking, jaw], curves.weights[talking, jaw])
    turning = curves.of("fast")
    if len(turning) and known[turning].all():
        yaw = np.degrees(np.arctan2(rotations[turning, 0, 2], rotations[turning, 2, 2]))
        result["lag of the yaw, frames"] = lag_frames(yaw, curves.angles[turning, 0])
    if curves.blinks and known[list(curves.blinks)].all():
        eyes = [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]
        peaks = np.array([weights[frame - 1 : frame + 2, eyes].mean(axis=1).max() for frame in curves.blinks])
        highest = curves.weights[list(curves.blinks)][:, eyes].mean(axis=1)
        result["peak of blinks"] = float(peaks.mean() / highest.mean())
        result[f"blinks with {KEPT:.0%} of the peak, %"] = 100.0 * float((peaks >= KEPT * highest).mean())
    return result


class LiveTracker(Tracker):
    """A tracker that also filters each frame as `track_live` does, at the given times."""

    def __init__(self, times: FloatArray) -> None:
        super().__init__()
        self.weights: list[FloatArray] = []
        self.rotations: list[FloatArray] = []
        self._times = iter(times.tolist())
        self._filter = LiveFilter()

    def see(self, image: ByteArray) -> tuple[FrameFit, float] | None:
        """Return what `Tracker.see` returns."""
        found, moment = super().see(image), next(self._times)
        if found is None:
            self.weights.append(self.weights[-1] if self.weights else np.zeros(len(ARKIT_NAMES)))
            self.rotations.append(self.rotations[-1] if self.rotations else np.eye(3))
            return None
        weights, camera = self._filter(moment, found[0])
        self.weights.append(weights)
        self.rotations.append(camera.rotation)
        return found


def vertex_error(actor: Actor, curves: Curves, weights: FloatArray, identity: FloatArray) -> float:
    """Return the mean distance of the vertices of the face from the true ones after a similarity, mm."""
    head, face = plain_head(identity), actor.mesh.regions["face"]
    names = list(head.blendshapes)
    order = [ARKIT_NAMES.index(name) for name in names]
    shapes = np.stack([head.blendshapes[name][face] for name in names])
    errors = []
    for frame in range(0, len(curves.times), MESH_EVERY):
        found = head.vertices[face] + np.tensordot(weights[frame, order], shapes, 1)
        true = actor.vertices(curves.weights[frame])[face]
        rotation, scale, shift = similarity(found, true)
        errors.append(float(np.linalg.norm(scale * found @ rotation.T + shift - true, axis=1).mean()))
    return float(np.mean(errors))


def evaluate_portrait(
    portrait: ByteArray, seed: int, parts: Sequence[str] = tuple(PARTS)
) -> dict[str, dict[str, float]]:
    """Return the measures of each method on a video of a portrait with the given parts."""
    rng = np.random.default_rng([SEED, seed])
    actor, curves = Actor.of(portrait), draw_curves(rng, parts=parts)
    frames = list(render_frames(actor, curves, rng))
    chosen = {int(row) for part in SINGLE for row in curves.of(part)}
    methods, spent = {}, {}
    if chosen:
        start = time.process_time()
        methods["single frames"] = single_frames(frames, chosen)
        spent["single frames"] = (time.process_time() - start) / len(chosen)

    Tracker().see(frames[0])  # loads the networks
    tracker = LiveTracker(curves.times)
    start = time.process_time()
    recording = record(open_video(iter(frames), FPS), tracker)
    spent["live"] = (time.process_time() - start) / len(frames)
    result = whole_video.smoothed(recording)
    spent["whole video"] = (time.process_time() - start) / len(frames)
    axes = axes_of(tracker.model.vertices(tracker.identity))
    methods["live"] = np.array(tracker.weights), np.array(tracker.rotations) @ axes
    plain = whole_video.raw(recording)
    methods["not smoothed"] = plain.weights, plain.rotations @ axes
    methods["whole video"] = result.weights, result.rotations @ axes
    true_axes = axes_of(actor.mesh.vertices)
    found_errors = {name: errors_of(track, curves, true_axes) for name, track in methods.items()}
    for name, seconds in spent.items():
        found_errors[name]["frames a second (CPU)"] = 1.0 / seconds
    found_errors["whole video"]["vertices, mm"] = vertex_error(actor, curves, result.weights, tracker.identity)
    found_errors["whole video"]["frames without a face"] = float((~recording.seen).sum())
    place = np.array([camera_of(curves, frame).project(np.zeros((1, 3)))[0] for frame in range(len(frames))])
    found_errors["whole video"]["place, pixels"] = float(np.linalg.norm(result.translations - place, axis=1).mean())
    return found_errors


def evaluate_blinks(count: int = BLINKS) -> dict[str, float]:
    """Return the share of synthetic blinks of 100 ms that keep 80 % of their peak, in percent.

    A blink has a random phase and length of a frame's part, and noise; its peak is that of the frames without noise.
    """
    from facegeom.tracking.live import WEIGHTS

    rng = np.random.default_rng(SEED)
    times = np.arange(60) / FPS
    kept = {"whole video": 0, "live": 0}
    for _ in range(count):
        true = blink(times, 1.0 + rng.uniform(-0.5, 0.5) / FPS)
        seen = np.clip(true + rng.normal(0, BLINK_NOISE, len(times)), 0.0, None)
        found = {"whole video": smooth(times, seen[:, None], noise=whole_video.WEIGHT_NOISE)[:, 0]}
        live = OneEuro(WEIGHTS)
        found["live"] = np.array(
            [live(moment, np.array([value]))[0] for moment, value in zip(times, seen, strict=True)]
        )
        for name, curve in found.items():
            kept[name] += bool(curve.max() >= KEPT * true.max())
    return {name: 100.0 * number / count for name, number in kept.items()}


def _portraits(folder: str | Path | None, part: str, limit: int) -> Iterator[tuple[str, ByteArray]]:
    if folder is None:
        yield "the demo portrait", load_image(demo_photo())
        return
    photos = find_photos(folder)
    names = sorted(photos)
    rows = getattr(split_names(names), part)
    chosen = [names[row] for row in rows if names[row].startswith(SOURCES)]
    if not chosen:
        raise FacegeomError(f"{folder} has no {part} portraits of {' and '.join(SOURCES)}")
    for number in np.linspace(0, len(chosen) - 1, min(limit, len(chosen))).astype(np.int64).tolist():
        yield chosen[number], load_image(photos[chosen[number]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate track` to a parser."""
    parser.add_argument(
        "photos", nargs="?", metavar="PORTRAITS", help="folder of portraits; without it, the demo portrait is animated"
    )
    parser.add_argument(
        "--part", choices=("test", "validation"), default="test", help="portraits of this part (default: %(default)s)"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", default=3, help="number of portraits, one video each (default: %(default)s)"
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        help="parts of each video, in this order (default: all)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return no file: the results are written to `--json` only."""
    return []


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the results; return the exit code."""
    limit = check.count(args.limit, "--limit", 1)
    parts = list(dict.fromkeys(args.parts))
    videos: dict[str, dict[str, dict[str, float]]] = {}
    for number, (name, portrait) in enumerate(tqdm(_portraits(args.photos, args.part, limit), unit="video")):
        videos[name] = evaluate_portrait(portrait, number, parts)
        if args.json:  # a video takes minutes
            write_json(args.json, {"benchmark": "track", "videos": videos})
    methods = ("single frames", "not smoothed", "live", "whole video")
    measures = list(dict.fromkeys(name for video in videos.values() for found in video.values() for name in found))
    means: dict[str, dict[str, Any]] = {}
    for measure in measures:
        for method in methods:
            values = [video[method][measure] for video in videos.values() if measure in video.get(method, {})]
            if values:
                means.setdefault(measure, {})[method] = float(np.mean(values))
    blinks = evaluate_blinks()
    means[f"blinks of 100 ms that keep {KEPT:.0%}, %"] = blinks
    rows = [[measure, *(found.get(method, "") for method in methods)] for measure, found in means.items()]
    show(table(["", *methods], rows, digits=4))
    if args.json:
        write_json(args.json, {"benchmark": "track", "videos": videos, "means": means})
    return 0
