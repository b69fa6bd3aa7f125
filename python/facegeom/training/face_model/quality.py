"""How good the face model is: held-out heads, triangles, lids and lips, and the atlas.

`check_face_model` measures and, given a folder, draws (`face_model_figures`).
"""

from __future__ import annotations

import logging
from pathlib import Path

import igl
import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model.model import FaceModel, read_face_model
from facegeom.geometry import rasterize
from facegeom.training.face_model.atlas import atlas_stretch, coverage
from facegeom.training.face_model.corner_smoothing import inverted_triangles, random_expression
from facegeom.training.face_model.ict_head import IctHead, load_ict
from facegeom.training.face_model.pictures import draw_face_model


def check_face_model(
    ict_path: str | Path,
    model_path: str | Path,
    *,
    samples: int = 200,
    seed: int = 2024,
    figures: str | Path | None = None,
) -> dict[str, float]:
    """Measure a face model against the head that it was made from.

    Parameters
    ----------
    ict_path : str or Path
        `ict_face_model.npz`, ICT FaceKit Light as arrays.
    model_path : str or Path
        The face model, as `build_face_model` wrote it.
    samples : int
        Held-out heads, all 100 ICT coefficients from N(0, 1) and random expressions.
    seed : int
        Of the samples; the model's own come from another.
    figures : str or Path, optional
        A folder to draw the model into.

    Returns
    -------
    dict of str to float
        Distances in mm between the fitted face and ICT's surface (both ways), inverted triangles,
        angles in degrees, openings of lids and lips, and what the atlas covers.
    """
    head = load_ict(ict_path)
    model = read_face_model(model_path)
    with np.load(Path(model_path)) as data:
        carrier, weight = data["carrier"].astype(np.int64), data["carrier_weight"].astype(np.float64)
    report = _held_out(head, model, carrier, weight, samples, seed)
    report |= _triangles(model) | _openings(model) | _atlas(model)
    if figures is not None:
        draw_face_model(model, Path(figures))
    for name, value in report.items():
        logging.getLogger("facegeom").info("%s: %.4g", name, value)
    return report


def surface_distance(P: FloatArray, V: FloatArray, F: IntArray) -> FloatArray:
    """Return the distance, (k,), of points to a surface."""
    square = igl.point_mesh_squared_distance(P, V, F)[0]
    return np.asarray(np.sqrt(square), dtype=np.float64)


def _held_out(
    head: IctHead, model: FaceModel, carrier: IntArray, weight: FloatArray, samples: int, seed: int
) -> dict[str, float]:
    """Fit samples of ICT by least squares and measure the gap between the surfaces of the face."""
    generator = np.random.default_rng(seed)
    count, triangles = model.face_vertex_count, model.faces[: model.face_triangle_count]
    # The identity is fitted to the neutral head and the expression's weights are the sample's own:
    # the expression components are ICT's but at the corners, so there is nothing to fit in them.
    basis = model.identity[:, :count].reshape(len(model.identity), -1).T.astype(np.float64)
    solve = np.linalg.pinv(basis)
    skin = head.part_faces("face", "head_and_neck")
    narrow, narrow_faces = np.arange(*head.parts["face_narrow"]), head.part_faces("face_narrow")
    there, back, inverted, source_inverted = [], [], 0, 0
    for _ in range(samples):
        identity = generator.standard_normal(len(head.identity))
        expression = random_expression(len(head.expression_names), generator)
        neutral = head.sample(identity)
        target = head.sample(identity, expression)
        seen = np.einsum("ij,ijk->ik", weight[:count], neutral[carrier[:count]])
        coefficients = solve @ (seen - model.mean[:count]).ravel()
        fitted = model.vertices(coefficients, expression)
        points = np.concatenate([fitted[:count], fitted[triangles].mean(axis=1)])
        there.append(surface_distance(points, target, skin))
        back.append(surface_distance(target[narrow], fitted, triangles))
        inverted += int(inverted_triangles(fitted, triangles).sum())
        source_inverted += int(inverted_triangles(target, narrow_faces).sum())
    gap, reverse = np.concatenate(there), np.concatenate(back)
    return {
        "samples": float(samples),
        "surface distance mean (mm)": float(gap.mean()),
        "surface distance 95th percentile (mm)": float(np.percentile(gap, 95)),
        "surface distance worst (mm)": float(gap.max()),
        "ICT to model mean (mm)": float(reverse.mean()),
        "ICT to model 95th percentile (mm)": float(np.percentile(reverse, 95)),
        "inverted triangles a head": inverted / samples,
        "ICT's own inverted triangles a head": source_inverted / samples,
    }


def _triangles(model: FaceModel) -> dict[str, float]:
    skin = model.faces[model.regions["head"][model.faces].all(axis=1)]
    angle = smallest_angles(model.mean, skin)
    everything = smallest_angles(model.mean, model.faces)
    return {
        "vertices": float(len(model.mean)),
        "triangles": float(len(model.faces)),
        "face vertices": float(model.face_vertex_count),
        "least angle of the skin (degrees)": float(angle.min()),
        "share of the skin's triangles above 15 degrees": float((angle > 15.0).mean()),
        "share of all triangles above 15 degrees": float((everything > 15.0).mean()),
        "asymmetry of the mean (mm)": float(
            np.abs(model.mean[model.mirror] * np.array([-1.0, 1.0, 1.0]) - model.mean).max()
        ),
    }


def smallest_angles(V: FloatArray, F: IntArray) -> FloatArray:
    """Return each triangle's smallest angle, (m,) degrees."""
    T = V[F]
    angles = []
    for i in range(3):
        a, b = T[:, (i + 1) % 3] - T[:, i], T[:, (i + 2) % 3] - T[:, i]
        sine = np.linalg.norm(np.cross(a, b), axis=1)
        angles.append(np.degrees(np.arctan2(sine, np.einsum("ij,ij->i", a, b))))
    return np.asarray(np.min(angles, axis=0))


def expression_weights(model: FaceModel, **weights: float) -> FloatArray:
    """Return a weight vector from names: `expression_weights(model, jawOpen=0.7)`."""
    result = np.zeros(len(model.expression_names))
    for name, value in weights.items():
        result[model.expression_names.index(name)] = value
    return result


def visible_area(model: FaceModel, V: FloatArray, region: str) -> float:
    """Return how much of a region shows from straight ahead, mm^2, at 5 pixels a millimetre."""
    scale, low, high = 5.0, np.array([-70.0, -110.0]), np.array([70.0, 40.0])
    width, height = (np.ceil((high - low) * scale)).astype(int)
    pixel = np.stack([(V[:, 0] - low[0]) * scale, (high[1] - V[:, 1]) * scale, V[:, 2]], axis=1)
    seen = rasterize(pixel, model.faces, None, (int(height), int(width))).triangle
    shown = np.append(model.regions[region][model.faces].all(axis=1), False)  # the last: nothing seen
    return float(np.count_nonzero(shown[seen]) / scale**2)


def _openings(model: FaceModel) -> dict[str, float]:
    """Measure what shows of the eyeball and of the mouth's inside, neutral and in the named shapes."""
    neutral = model.mean
    blink = model.vertices(expression=expression_weights(model, eyeBlink_L=1.0, eyeBlink_R=1.0))
    opened = model.vertices(expression=expression_weights(model, jawOpen=1.0))
    lips = model.landmarks68_multipie[[62, 66]]  # the middle of the upper and of the lower lip
    return {
        "eyeball seen, neutral (mm^2)": visible_area(model, neutral, "eyeball_left"),
        "eyeball seen, eyeBlink (mm^2)": visible_area(model, blink, "eyeball_left"),
        "gap of the lips, neutral (mm)": float(np.linalg.norm(np.diff(neutral[lips], axis=0))),
        "gap of the lips, jawOpen (mm)": float(np.linalg.norm(np.diff(opened[lips], axis=0))),
        "mouth's inside seen, jawOpen (mm^2)": visible_area(model, opened, "mouth_interior"),
    }


def _atlas(model: FaceModel) -> dict[str, float]:
    texels = coverage(model.uv, model.uv_faces, 192)
    face = coverage(model.uv, model.uv_faces[: model.face_triangle_count], 192)
    stretch = atlas_stretch(model.mean, model.faces, model.uv, model.uv_faces)
    skin = model.regions["head"][model.faces].all(axis=1)
    ratio = stretch[:, 0] / stretch[:, 1]
    scale = np.sqrt(stretch.prod(axis=1))
    inside = slice(0, model.face_triangle_count)
    return {
        "texels of the face at 192 (share)": float((face > 0).mean()),
        "texels used at 192 (share)": float((texels > 0).mean()),
        "texels covered twice at 192": float((texels > 1).sum()),
        "texels covered twice at 1024": float((coverage(model.uv, model.uv_faces, 1024) > 1).sum()),
        "face stretch ratio, median": float(np.median(ratio[inside])),
        "face stretch ratio, 95th percentile": float(np.percentile(ratio[inside], 95)),
        "skin stretch ratio, median": float(np.median(ratio[skin])),
        "skin stretch ratio, 95th percentile": float(np.percentile(ratio[skin], 95)),
        "face texels a mm at 192, median": float(192 * np.median(scale[inside])),
        "face texels a mm at 192, 5th percentile": float(192 * np.percentile(scale[inside], 5)),
    }
