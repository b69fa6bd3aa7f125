"""What bench_registration.py registers: ICT faces seen by an orthographic camera, whose true correspondence is known.

The template is the `face_narrow` part of the neutral ICT face, its own positions are its embedding. A target is a grid
of pixels of a deformed face (all of `face`), each with its position and the neutral position of what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facegeom.geometry import nearest, rasterize

ICT = Path(__file__).resolve().parents[2] / "shared" / "data" / "ict" / "ict_face_model.npz"
NARROW, FACE = 6706, 9409
MM_PER_CM = 10.0

EXPRESSIONS = {
    1: {"jawOpen": 0.6, "mouthSmile_L": 0.4, "mouthSmile_R": 0.4},
    2: {"browInnerUp_L": 0.8, "browInnerUp_R": 0.8, "mouthPucker": 0.5},
    3: {"mouthLeft": 0.5, "cheekPuff_L": 0.6, "noseSneer_R": 0.6, "browDown_L": 0.7},
}
"""Of each subject; the seed of its 40 identity coefficients ~ N(0, 1) is its number."""
CASES = ("clean", "noisy embedding", "noisy depth", "20 % missing")


@dataclass(frozen=True)
class Subject:
    """A template and what is to be found: the true place of its vertices and a target to find them by.

    Attributes
    ----------
    V, F : template, mm
    truth : (n, 3) mm
    target_V, target_F, target_E : seen part of the subject, mm
    visible : (n,) bool, template vertices within 1.2 pixels of a target vertex at their true place
    pixel : mm
    """

    V: np.ndarray
    F: np.ndarray
    truth: np.ndarray
    target_V: np.ndarray
    target_F: np.ndarray
    target_E: np.ndarray
    visible: np.ndarray
    pixel: float

    def error(self, V):
        """Distances to the true place of the visible vertices, mm."""
        return np.linalg.norm(V - self.truth, axis=1)[self.visible]

    def flipped_triangles(self, V):
        """Which triangles of three visible vertices face away from their true normal, (m,)."""
        turned = np.einsum("ij,ij->i", area_normals(V, self.F), area_normals(self.truth, self.F)) <= 0
        return turned & self.visible[self.F].all(axis=1)


def area_normals(V, F):
    return np.cross(V[F[:, 1]] - V[F[:, 0]], V[F[:, 2]] - V[F[:, 0]])


def face_model():
    """Neutral vertices (9409, 3) mm, triangles, identity and expression displacements and the expressions' names."""
    with np.load(ICT) as data:
        triangles = data["triangles"].astype(np.int64)
        return {
            "neutral": data["vertices"][:FACE].astype(float) * MM_PER_CM,
            "triangles": triangles[(triangles < FACE).all(axis=1)],
            "identity": data["identity"][:, :FACE].astype(float) * MM_PER_CM,
            "expression": data["expression"][:, :FACE].astype(float) * MM_PER_CM,
            "names": data["expression_names"].tolist(),
        }


def grid_triangles(known, z, largest_step):
    """Two triangles for each 2x2 block of known pixels, as pixel indices, without those that span too much depth."""
    ids = np.arange(known.size).reshape(known.shape)
    a, b, c, d = ids[:-1, :-1], ids[:-1, 1:], ids[1:, :-1], ids[1:, 1:]
    whole = known[:-1, :-1] & known[:-1, 1:] & known[1:, :-1] & known[1:, 1:]
    F = np.concatenate([np.stack([a, c, b], -1)[whole], np.stack([b, c, d], -1)[whole]])
    return F[np.ptp(z.ravel()[F], axis=1) <= largest_step]


CLOSED_EYES = {**EXPRESSIONS[2], "eyeBlink_L": 0.7, "eyeBlink_R": 0.7}


def subject(model, seed, size, expression=None):
    """One subject at size x size pixels, clean; another expression than its own where one is given."""
    neutral, triangles = model["neutral"], model["triangles"]
    coefficients = np.random.default_rng(seed).normal(size=40)
    weights = np.zeros(len(model["names"]))
    for name, weight in (expression or EXPRESSIONS[seed]).items():
        weights[model["names"].index(name)] = weight
    deformed = neutral + np.tensordot(coefficients, model["identity"][:40], 1)
    deformed = deformed + np.tensordot(weights, model["expression"], 1)

    V = neutral[:NARROW]
    pixel = 1.45 * np.ptp(V, axis=0).max() / size
    low, high = deformed[:NARROW].min(axis=0), deformed[:NARROW].max(axis=0)
    centre = (low + high) / 2
    placed = (deformed - centre) / pixel * [1, -1, 1] + [(size - 1) / 2, (size - 1) / 2, 0]
    raster = rasterize(placed, triangles, neutral, (size, size))
    known = raster.triangle >= 0
    y, x = np.mgrid[:size, :size]
    z = np.where(known, raster.depth, 0.0) * pixel + centre[2]
    xyz = np.stack([(x - (size - 1) / 2) * pixel + centre[0], ((size - 1) / 2 - y) * pixel + centre[1], z], axis=-1)
    F = grid_triangles(known, z, 10.0)
    used, F = np.unique(F, return_inverse=True)
    target_V = xyz.reshape(-1, 3)[used]
    truth = deformed[:NARROW]
    return Subject(
        V,
        triangles[(triangles < NARROW).all(axis=1)],
        truth,
        target_V,
        F.reshape(-1, 3),
        raster.attributes.reshape(-1, 3)[used],
        nearest(target_V, truth)[1] < 1.2 * pixel,
        pixel,
    )


def spoiled(clean, case, seed):
    """The subject's target as one of the CASES has it."""
    rng = np.random.default_rng(1000 + seed)
    V, E, n = clean.target_V, clean.target_E, len(clean.target_V)
    if case == "noisy embedding":
        return replace(clean, target_E=E + rng.normal(0, 1.0, E.shape))
    if case == "noisy depth":
        z = V[:, 2] + rng.normal(0, 0.4, n)
        spikes = rng.uniform(size=n) < 0.003
        z[spikes] += rng.uniform(-30, 30, spikes.sum())
        return replace(clean, target_V=np.column_stack([V[:, :2], z]))
    if case == "20 % missing":
        # A disc around a point of the cheek that holds a fifth of the vertices.
        middle = V.mean(axis=0) + np.ptp(V, axis=0) * np.array([0.18, -0.05, 0])
        distance = np.hypot(*(V - middle)[:, :2].T)
        kept = distance > np.quantile(distance, 0.2)
        F = clean.target_F[kept[clean.target_F].all(axis=1)]
        used, F = np.unique(F, return_inverse=True)
        target_V = V[used]
        visible = clean.visible & (nearest(target_V, clean.truth)[1] < 1.2 * clean.pixel)
        return replace(clean, target_V=target_V, target_F=F.reshape(-1, 3), target_E=E[used], visible=visible)
    return clean
