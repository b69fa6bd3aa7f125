"""Quality measures of the face model: fits to random heads, triangles, openings of lids and lips, atlas."""

from __future__ import annotations

import logging
from pathlib import Path

import igl
import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model.model import FaceModel, read_face_model
from facegeom.geometry import rasterize
from facegeom.networks.semi_sphere import triangle_angles
from facegeom.training.face_model.atlas import atlas_stretch, coverage
from facegeom.training.face_model.corner_smoothing import inverted_triangles, random_expression
from facegeom.training.face_model.ict_head import IctHead, carriers, load_ict
from facegeom.training.face_model.pictures import draw_face_model


def check_face_model(
    ict_path: str | Path,
    model_path: str | Path,
    *,
    samples: int = 200,
    seed: int = 2024,
    figures: str | Path | None = None,
) -> dict[str, float]:
    """Measure the quality of a face model, and log the values.

    Parameters
    ----------
    ict_path : str or Path
        Path of `ict_face_model.npz`, ICT FaceKit Light as arrays.
    model_path : str or Path
        The face model, as `build_face_model` wrote it.
    samples : int
        Number of random ICT heads to fit, with 100 identity coefficients from N(0, 1) and random expressions.
    seed : int
        Random seed of these heads. It must differ from the seed of the heads from which the model was made.
    figures : str or Path, optional
        Folder to which pictures of the model are written.

    Returns
    -------
    dict of str to float
        Distances between the fitted face and the ICT surface in both directions, numbers of inverted triangles, angles,
        visible areas in the openings of lids and lips, and measures of the atlas. The keys contain the units.
    """
    head = load_ict(ict_path)
    model = read_face_model(model_path)
    carrier, weight = carriers(model_path)
    report = _held_out(head, model, carrier, weight, samples, seed)
    report |= _triangles(model) | _openings(model) | _atlas(model)
    if figures is not None:
        draw_face_model(model, Path(figures))
    for name, value in report.items():
        logging.getLogger("facegeom").info("%s: %.4g", name, value)
    return report


def surface_distance(P: FloatArray, V: FloatArray, F: IntArray) -> FloatArray:
    """Return the distances of points P (k, 3) to the surface of triangles F (m, 3) with vertices V (n, 3): (k,)."""
    square = igl.point_mesh_squared_distance(P, V, F)[0]
    return np.asarray(np.sqrt(square), dtype=np.float64)


def _held_out(
    head: IctHead, model: FaceModel, carrier: IntArray, weight: FloatArray, samples: int, seed: int
) -> dict[str, float]:
    """Return the errors of the face model on random ICT heads: name of the measure -> value.

    The model is fitted to each head by least squares. The distances are those between the face of the fitted model and
    the face of the ICT head.
    """
    generator = np.random.default_rng(seed)
    count, triangles = model.face_vertex_count, model.faces[: model.face_triangle_count]
    # The identity is fitted to the neutral head. The expression weights are the weights of the ICT head, because the
    # expression components equal the ICT components, except near the corners of lids and mouth.
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
        "surface distance maximum (mm)": float(gap.max()),
        "ICT to model mean (mm)": float(reverse.mean()),
        "ICT to model 95th percentile (mm)": float(np.percentile(reverse, 95)),
        "inverted triangles per head": inverted / samples,
        "inverted triangles per head in ICT": source_inverted / samples,
    }


def _triangles(model: FaceModel) -> dict[str, float]:
    skin = model.faces[model.regions["head"][model.faces].all(axis=1)]
    angle = triangle_angles(model.mean, skin).min(axis=1)
    everything = triangle_angles(model.mean, model.faces).min(axis=1)
    return {
        "vertices": float(len(model.mean)),
        "triangles": float(len(model.faces)),
        "face vertices": float(model.face_vertex_count),
        "smallest angle of the skin (degrees)": float(angle.min()),
        "share of skin triangles with all angles above 15 degrees": float((angle > 15.0).mean()),
        "share of all triangles with all angles above 15 degrees": float((everything > 15.0).mean()),
        "asymmetry of the mean (mm)": float(
            np.abs(model.mean[model.mirror] * np.array([-1.0, 1.0, 1.0]) - model.mean).max()
        ),
    }


def expression_weights(model: FaceModel, **weights: float) -> FloatArray:
    """Return expression weights, (e,), with the named weights set, as in `expression_weights(model, jawOpen=0.7)`.

    All other weights are 0.
    """
    result = np.zeros(len(model.expression_names))
    for name, value in weights.items():
        result[model.expression_names.index(name)] = value
    return result


def visible_area(model: FaceModel, V: FloatArray, region: str) -> float:
    """Return the area of a region that is visible from the front, in mm^2, measured at 5 pixels per mm."""
    scale, low, high = 5.0, np.array([-70.0, -110.0]), np.array([70.0, 40.0])
    width, height = (np.ceil((high - low) * scale)).astype(int)
    pixel = np.stack([(V[:, 0] - low[0]) * scale, (high[1] - V[:, 1]) * scale, V[:, 2]], axis=1)
    seen = rasterize(pixel, model.faces, None, (int(height), int(width))).triangle
    shown = np.append(model.regions[region][model.faces].all(axis=1), False)  # last entry: pixels without a triangle
    return float(np.count_nonzero(shown[seen]) / scale**2)


def _openings(model: FaceModel) -> dict[str, float]:
    """Return the visible areas of eyeball and mouth interior, and the gaps between the lips: name -> value."""
    neutral = model.mean
    blink = model.vertices(expression=expression_weights(model, eyeBlink_L=1.0, eyeBlink_R=1.0))
    opened = model.vertices(expression=expression_weights(model, jawOpen=1.0))
    lips = model.landmarks68_multipie[[62, 66]]  # inner middle of the upper and of the lower lip
    return {
        "visible eyeball, neutral (mm^2)": visible_area(model, neutral, "eyeball_left"),
        "visible eyeball, eyeBlink (mm^2)": visible_area(model, blink, "eyeball_left"),
        "gap between the lips, neutral (mm)": float(np.linalg.norm(np.diff(neutral[lips], axis=0))),
        "gap between the lips, jawOpen (mm)": float(np.linalg.norm(np.diff(opened[lips], axis=0))),
        "visible mouth interior, jawOpen (mm^2)": visible_area(model, opened, "mouth_interior"),
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
        "face texels per mm at 192, median": float(192 * np.median(scale[inside])),
        "face texels per mm at 192, 5th percentile": float(192 * np.percentile(scale[inside], 5)),
    }
