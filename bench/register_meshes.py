"""`facegeom register` beside `trimesh.registration.nricp_amberg` on three pairs of meshes with known truth.

    python bench/register_meshes.py

It needs the packages of the extra `dev`. Both get the same landmarks; trimesh's template is moved there by a similarity
first, because it does not align by itself. The table has the CPU time, the mean distances of the vertices of the
template from the surface of the target and the other way round, and the mean and the 95th percentile of the distance of
the vertices of the template from their true places.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import trimesh

from facegeom import FaceMesh, geometry, load_face_model
from facegeom.face_model.point_fit import similarity
from facegeom.rigging.registering import register_meshes
from results import OURS, number, text_table

SEED = 3
TURN = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
NOISE_MM, HOLE_MM, HOLES = 0.3, 9.0, 4


class Pair(NamedTuple):
    """Two meshes, landmarks of the template (k,), and the true place (n, 3) of each vertex of the template."""

    name: str
    template: FaceMesh
    target: FaceMesh
    landmarks: np.ndarray
    truth: np.ndarray


def egg() -> Pair:
    """An egg, and a larger one with other proportions and four times as many triangles."""
    ball = trimesh.creation.icosphere(subdivisions=3)
    V, F = np.asarray(ball.vertices), np.asarray(ball.faces)
    V = V * (30.0, 40.0, 35.0) * (1.0 + 0.1 * V[:, 1:2])
    fine = geometry.subdivide(V, F, "loop")

    def grown(points: np.ndarray) -> np.ndarray:
        return 1.5 * (points * (1.0, 1.1, 0.95) + 2.0 * np.sin(points[:, [1, 2, 0]] / 15.0)) @ TURN.T + (10, 20, 30)

    landmarks = np.unique([int(np.argmax(V @ axis)) for axis in (*np.eye(3), *-np.eye(3), np.ones(3), -np.ones(3))])
    return Pair("egg", FaceMesh(V, F), FaceMesh(grown(fine.V), fine.F), landmarks, grown(V))


def face(*, damaged: bool) -> Pair:
    """The mean face, and the face of a random person; `damaged`: with an expression, holes and noise."""
    model, rng = load_face_model(), np.random.default_rng(SEED)
    expression = np.zeros(len(model.expression_names))
    if damaged:
        for name in ("jawOpen", "mouthSmile_L", "mouthSmile_R"):
            expression[model.expression_names.index(name)] = 0.5
    person = model.vertices(rng.normal(0, 0.8, 60), expression)
    inside = model.regions["map"]
    F = model.faces[inside[model.faces].all(axis=1)]
    used, corners = np.unique(F, return_inverse=True)
    F = corners.reshape(-1, 3)
    V, truth = model.mean[used].astype(np.float64), person[used]
    fine = geometry.subdivide(truth, F, "loop")
    target, target_F = fine.V, fine.F
    if damaged:
        for centre in target[rng.integers(0, len(target), HOLES)]:
            hole = np.linalg.norm(target - centre, axis=1) < HOLE_MM
            target_F = target_F[~hole[target_F].any(axis=1)]
        target = target + rng.normal(0, NOISE_MM, target.shape)
    kept = np.flatnonzero(np.isin(model.landmarks68, used))
    landmarks = np.searchsorted(used, model.landmarks68[kept])
    name = "face, expression, holes, noise" if damaged else "face"
    return Pair(name, FaceMesh(V, F), FaceMesh(target, target_F), landmarks, truth)


def with_facegeom(pair: Pair) -> np.ndarray:
    """Return the vertices of the template by `facegeom register`."""
    landmarks = pair.landmarks, pair.truth[pair.landmarks]
    return register_meshes(pair.template, pair.target, landmarks).mesh.vertices


def with_trimesh(pair: Pair) -> np.ndarray:
    """Return the vertices of the template by `nricp_amberg`."""
    V, places = pair.template.vertices, pair.truth[pair.landmarks]
    rotation, scale, shift = similarity(V[pair.landmarks], places)
    source = trimesh.Trimesh(scale * V @ rotation.T + shift, pair.template.faces, process=False)
    target = trimesh.Trimesh(pair.target.vertices, pair.target.faces, process=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # singular matrices and deprecated calls inside trimesh
        return np.asarray(
            trimesh.registration.nricp_amberg(source, target, source_landmarks=pair.landmarks, target_positions=places)
        )


METHODS: dict[str, Callable[[Pair], np.ndarray]] = {OURS: with_facegeom, "trimesh nricp_amberg": with_trimesh}


def main() -> None:
    """Print the table."""
    rows = []
    for pair in (egg(), face(damaged=False), face(damaged=True)):
        for name, method in METHODS.items():
            start = time.process_time()
            found = method(pair)
            spent = time.process_time() - start
            away = geometry.closest_points(pair.target.vertices, pair.target.faces, found).distance
            back = geometry.closest_points(found, pair.template.faces, pair.target.vertices).distance
            error = np.linalg.norm(found - pair.truth, axis=1)
            values = (spent, away.mean(), back.mean(), error.mean(), np.percentile(error, 95))
            rows.append([f"{pair.name} ({len(found)})", name, *(number(float(value)) for value in values)])
            print(*rows[-1], flush=True)
    header = ["pair (vertices)", "library", "CPU s", "to target", "to template", "error", "p95"]
    print("\n".join(text_table(header, rows, left=2)))


if __name__ == "__main__":
    main()
