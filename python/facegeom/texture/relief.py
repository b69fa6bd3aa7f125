"""Weight of the fine contrast of a photo as relief: contrast of hair or colour must not become geometry."""

from __future__ import annotations

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template, Topology
from facegeom.texture.appearance import View
from facegeom.texture.diffusion import diffused

FADE_MM = {"brow": 5.0, "eyelids": 2.0, "lips": 2.0, "border": 4.0}
"""Distance in mm at which the weight reaches 1, from each region without relief (brows, lashes, lips, the border)."""

NEAR_MM2 = 6.0  # diffusion time in mm^2 of the low-pass; fine contrast is the difference from the low-pass
WIDE_MM2 = 400.0  # diffusion time in mm^2 of the brightness of the surrounding skin
DARK = (0.65, 0.85)  # brightness / brightness of the surrounding skin: hair below the first, no hair above the second
ROUGH = (0.08, 0.14)  # rms contrast / brightness: wrinkles below the first, hair above the second
HAIRY = 0.6  # where hair grows, the limits ROUGH are reduced by this share; contrast: beards 0.045 to 0.07, cheeks 0.06
BEARD_MM = (-50.0, -62.0)  # y in mm on the mean face: no beard above the first, beard possible below the second
FRINGE_MM = (42.0, 56.0)  # y in mm on the mean face: no fringe of hair below the first, possible above the second


def relief_weight(template: Template, view: View) -> FloatArray:
    """Return the weight of the photo's fine contrast as relief, (s,) in [0, 1], at the vertices of the fine skin.

    Hair is darker than the surrounding skin, and has more contrast than most wrinkles. The weight is 0 at
    hidden vertices, and in the parts of `FADE_MM`.
    """
    skin = template.fine.skin_count
    gray, seen = view.gray[:skin], view.seen[:skin]
    near = _mean_near(template, view, gray, seen > 0)
    level = np.maximum(_mean_around(template, gray, seen > 0), 1e-3)
    contrast = np.sqrt(_mean_near(template, view, (gray - near) ** 2, seen > 0)) / level
    bright = _ramp(near / level, *DARK)
    height = _mean_skin(template)[:, 1]
    hairy = np.maximum(_ramp(height, *BEARD_MM), _ramp(height, *FRINGE_MM))
    calm = 1.0 - _ramp(contrast / (1.0 - HAIRY * hairy), *ROUGH)
    return np.asarray(seen * skin_weight(template) * bright * calm)


@load_once(maxsize=2)
def skin_weight(template: Template) -> FloatArray:
    """Return the factor (s,) of `relief_weight` equal for all faces: 0 at lids, lips, brows and off the face."""
    fine = template.fine
    weight = np.ones(fine.skin_count)
    for name, length in FADE_MM.items():
        members = _beyond(fine) if name == "border" else _members(fine, name)
        near = geometry.heat_smooth(_mean_skin(template), fine.skin_faces, members.astype(np.float64), length**2)
        weight *= (
            np.clip(1.0 - 4.0 * near, 0.0, 1.0) * ~members
        )  # at a straight edge, half of the heat has diffused away
    return weight


@load_once(maxsize=2)
def _mean_skin(template: Template) -> FloatArray:
    return template.subdivide(load_face_model().mean[template.vertices])[: template.fine.skin_count]


def _ramp(values: FloatArray, zero: float, one: float) -> FloatArray:
    return np.asarray(np.clip((values - zero) / (one - zero), 0.0, 1.0))


def _mean_near(template: Template, view: View, values: FloatArray, known: BoolArray) -> FloatArray:
    """Return for each vertex of the fine skin the mean (s,) of the values (s,) of known vertices nearby, at least 0, by
    diffusion over the skin; 0 far from known vertices.
    """
    V = view.vertices[: len(values)]
    heat = geometry.heat_smooth(
        V, template.fine.skin_faces, np.column_stack([values * known, known]), NEAR_MM2, tolerance=1e-3
    )
    return _mean(heat)


def _mean_around(template: Template, values: FloatArray, known: BoolArray) -> FloatArray:
    """Return `_mean_near` over a wider part of the skin; it is smooth, and comes from the coarse skin."""
    coarse = template.coarse.skin_count
    heat = diffused(template, np.column_stack([values * known, known])[:coarse], WIDE_MM2)
    behind = np.zeros((len(template.vertices) - coarse, 2))
    return _mean(template.carry(np.concatenate([heat, behind]))[: len(values)])


def _mean(heat: FloatArray) -> FloatArray:
    """Return the quotient (n,) of the diffused values and the diffused weights, (n, 2)."""
    share = heat[:, 1]
    return np.asarray(np.maximum(heat[:, 0], 0.0) / np.maximum(share, 1e-3) * (share > 1e-3))


def _beyond(topology: Topology) -> BoolArray:
    """Return the mask (s,) of skin vertices that are on a boundary edge or outside the face region."""
    edges = np.sort(topology.skin_faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    beyond = ~topology.regions["face"][: topology.skin_count]
    beyond[unique[uses == 1]] = True
    return beyond


def _members(topology: Topology, start: str) -> BoolArray:
    """Return the mask (s,) of skin vertices in regions whose name begins with `start`."""
    masks = [mask for name, mask in topology.regions.items() if name.startswith(start)]
    return np.asarray(np.any(masks, axis=0)[: topology.skin_count])
