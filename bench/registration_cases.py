"""Faces to register, with their true correspondence: heads of a face model, seen by an orthographic camera.

The template is the face part of the model's mean; its own vertices are its embedding. A target is a grid of pixels of a
deformed head. Each pixel has its position and, as its embedding, the place of the same point on the mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facegeom import load_face_model
from facegeom.geometry import nearest, rasterize

ICT_FILE = Path(__file__).resolve().parents[2] / "shared" / "data" / "ict" / "ict_face_model.npz"
ICT_NARROW_FACE, ICT_FACE = 6706, 9409  # vertices
MM_PER_CM = 10.0
IDENTITY_COMPONENTS = 40
LARGEST_TURN_DEG = 75.0

EXPRESSIONS = {
    1: {"jawOpen": 0.6, "mouthSmile_L": 0.4, "mouthSmile_R": 0.4},
    2: {"browInnerUp_L": 0.8, "browInnerUp_R": 0.8, "mouthPucker": 0.5},
    3: {"mouthLeft": 0.5, "cheekPuff_L": 0.6, "noseSneer_R": 0.6, "browDown_L": 0.7},
}
"""Weights by person. The number of a person is also the seed of its identity coefficients, which are N(0, 1)."""
CLOSED_EYES = {"eyeBlink_L": 0.7, "eyeBlink_R": 0.7}
DEFECTS = ("clean", "1 mm noise on the embedding", "0.4 mm noise and spikes on the depth", "20 % missing")


class LinearModel(NamedTuple):
    """A linear model of the face.

    Attributes
    ----------
    mean : (n, 3) mm
    triangles : (m, 3)
    template_vertices, template_triangles : the template is these first vertices and these triangles
    in_target : (n,) bool, vertices that a target shows; the others only hide what lies behind them
    identity, expression : (k, n, 3) mm
    expression_names : of the expressions
    """

    mean: np.ndarray
    triangles: np.ndarray
    template_vertices: int
    template_triangles: np.ndarray
    in_target: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """A template, a target, and the true place of the template's vertices on it.

    Attributes
    ----------
    V, F : template, mm
    truth : (n, 3) mm
    target_V, target_F, target_E : visible surface of the subject, and its embedding, mm
    visible : (n,) bool, vertices whose true place is within 1.2 pixels of a vertex of the target
    pixel : width of a pixel, mm
    """

    V: np.ndarray
    F: np.ndarray
    truth: np.ndarray
    target_V: np.ndarray
    target_F: np.ndarray
    target_E: np.ndarray
    visible: np.ndarray
    pixel: float

    def error_mm(self, V):
        """Return the distances of the visible vertices from their true place."""
        return np.linalg.norm(V - self.truth, axis=1)[self.visible]

    def flipped(self, V):
        """Count the triangles of three visible vertices whose normal is more than 90 degrees from the true one.

        Triangles that the truth itself turns by more than 75 degrees do not count: slivers in the folds of the eyelids,
        on which the models fold over and which no camera sees.
        """
        aligned = similarity(self.V, self.truth)(self.V)
        true_normal = area_normals(self.truth, self.F)
        turned = np.einsum("ij,ij->i", area_normals(V, self.F), true_normal) <= 0
        steady = cosines(area_normals(aligned, self.F), true_normal) > np.cos(np.radians(LARGEST_TURN_DEG))
        return int((turned & steady & self.visible[self.F].all(axis=1)).sum())


def similarity(P, Q):
    """Return the function that applies the least-squares similarity from the points P to the points Q.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991.
    """
    p, q = P.mean(axis=0), Q.mean(axis=0)
    U, S, Wt = np.linalg.svd((Q - q).T @ (P - p))
    sign = np.diag([1, 1, np.sign(np.linalg.det(U @ Wt))])
    R = U @ sign @ Wt
    scale = np.trace(np.diag(S) @ sign) / ((P - p) ** 2).sum()
    return lambda X: scale * (X - p) @ R.T + q


def area_normals(V, F):
    """Return the normals (m, 3) of the triangles, as long as twice their areas."""
    return np.cross(V[F[:, 1]] - V[F[:, 0]], V[F[:, 2]] - V[F[:, 0]])


def cosines(a, b):
    """Return the cosines (m,) between the rows of a and b."""
    return np.einsum("ij,ij->i", a, b) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def shipped_model():
    """Return the face model of facegeom; the template is its 6,979 vertices of the face, without eyes and mouth."""
    model = load_face_model()
    return LinearModel(
        mean=model.mean,
        triangles=model.faces,
        template_vertices=model.face_vertex_count,
        template_triangles=model.faces[: model.face_triangle_count],
        in_target=model.regions["map"],
        identity=model.identity[:IDENTITY_COMPONENTS],
        expression=model.expression,
        expression_names=model.expression_names,
    )


def ict_model():
    """Return the face of ICT FaceKit; the template is the 6,706 vertices of its narrow face."""
    with np.load(ICT_FILE) as data:
        triangles = data["triangles"].astype(np.int64)
        return LinearModel(
            mean=data["vertices"][:ICT_FACE].astype(float) * MM_PER_CM,
            triangles=triangles[(triangles < ICT_FACE).all(axis=1)],
            template_vertices=ICT_NARROW_FACE,
            template_triangles=triangles[(triangles < ICT_NARROW_FACE).all(axis=1)],
            in_target=np.ones(ICT_FACE, bool),
            identity=data["identity"][:IDENTITY_COMPONENTS, :ICT_FACE].astype(float) * MM_PER_CM,
            expression=data["expression"][:, :ICT_FACE].astype(float) * MM_PER_CM,
            expression_names=tuple(data["expression_names"].tolist()),
        )


MODELS = {"facegeom face model": lru_cache(shipped_model), "ICT FaceKit": lru_cache(ict_model)}


def grid_triangles(known, z, largest_step):
    """Return two triangles for each 2x2 block of known pixels, as pixel indices, where the depth changes little."""
    ids = np.arange(known.size).reshape(known.shape)
    a, b, c, d = ids[:-1, :-1], ids[:-1, 1:], ids[1:, :-1], ids[1:, 1:]
    whole = known[:-1, :-1] & known[:-1, 1:] & known[1:, :-1] & known[1:, 1:]
    F = np.concatenate([np.stack([a, c, b], -1)[whole], np.stack([b, c, d], -1)[whole]])
    return F[np.ptp(z.ravel()[F], axis=1) <= largest_step]


@lru_cache(maxsize=4)
def subject(model_name, person, size, defect="clean", closed_eyes=False):
    """Return a person of one of the `MODELS` in an image of size x size pixels, with one of the `DEFECTS`."""
    model = MODELS[model_name]()
    coefficients = np.random.default_rng(person).normal(size=IDENTITY_COMPONENTS)
    weights = np.zeros(len(model.expression_names))
    for name, weight in {**EXPRESSIONS[person], **(CLOSED_EYES if closed_eyes else {})}.items():
        weights[model.expression_names.index(name)] = weight
    deformed = model.mean + np.tensordot(coefficients, model.identity, 1)
    deformed = deformed + np.tensordot(weights, model.expression, 1)

    V, truth = model.mean[: model.template_vertices], deformed[: model.template_vertices]
    pixel = 1.45 * np.ptp(V, axis=0).max() / size
    centre = (truth.min(axis=0) + truth.max(axis=0)) / 2
    placed = (deformed - centre) / pixel * [1, -1, 1] + [(size - 1) / 2, (size - 1) / 2, 0]
    raster = rasterize(placed, model.triangles, model.mean, (size, size))
    shown = np.append(model.in_target[model.triangles].all(axis=1), False)  # the last: pixels without a triangle
    known = shown[raster.triangle]
    y, x = np.mgrid[:size, :size]
    z = np.where(known, raster.depth, 0.0) * pixel + centre[2]
    xyz = np.stack([(x - (size - 1) / 2) * pixel + centre[0], ((size - 1) / 2 - y) * pixel + centre[1], z], axis=-1)
    F = grid_triangles(known, z, 10.0)
    used, F = np.unique(F, return_inverse=True)
    target_V, target_E = xyz.reshape(-1, 3)[used], raster.attributes.reshape(-1, 3)[used]
    visible = nearest(target_V, truth)[1] < 1.2 * pixel
    clean = Subject(V, model.template_triangles, truth, target_V, F.reshape(-1, 3), target_E, visible, pixel)
    return with_defect(clean, defect, np.random.default_rng(1000 + person))


def with_defect(clean, defect, rng):
    """Return the subject with one of the `DEFECTS` in its target."""
    V, E, n = clean.target_V, clean.target_E, len(clean.target_V)
    if defect == "clean":
        return clean
    if defect == "1 mm noise on the embedding":
        return replace(clean, target_E=E + rng.normal(0, 1.0, E.shape))
    if defect == "0.4 mm noise and spikes on the depth":
        z = V[:, 2] + rng.normal(0, 0.4, n)
        spikes = rng.uniform(size=n) < 0.003
        z[spikes] += rng.uniform(-30, 30, spikes.sum())
        return replace(clean, target_V=np.column_stack([V[:, :2], z]))
    if defect == "20 % missing":
        # A disc around a point of the cheek that holds a fifth of the vertices.
        middle = V.mean(axis=0) + np.ptp(V, axis=0) * np.array([0.18, -0.05, 0])
        distance = np.hypot(*(V - middle)[:, :2].T)
        kept = distance > np.quantile(distance, 0.2)
        F = clean.target_F[kept[clean.target_F].all(axis=1)]
        used, F = np.unique(F, return_inverse=True)
        target_V = V[used]
        visible = clean.visible & (nearest(target_V, clean.truth)[1] < 1.2 * clean.pixel)
        return replace(clean, target_V=target_V, target_F=F.reshape(-1, 3), target_E=E[used], visible=visible)
    raise ValueError(f"defect must be one of {DEFECTS}, got {defect!r}")
