"""Ambient occlusion of a head: how much of the light from all around reaches each point of the skin.

Colours that no photo shows are continued from skin nearby. Without occlusion, the hollows of an ear would be as bright
as the cheek beside it.
"""

from __future__ import annotations

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.texture.diffusion import diffused

DIRECTIONS = 64  # number of directions of the light, evenly spread over the sphere
PIXEL_MM = 1.0  # size of the pixels in which the depth of the head is rasterised
HIDDEN_MM = 1.0  # distance behind the nearest surface, beside that of its slope, beyond which a vertex is hidden
SMOOTH_MM2 = 2.0  # diffusion time that removes the noise of the few directions, mm^2
GAMMA = 2.2  # exponent between a colour and its light, as in sRGB
GOLDEN = np.pi * (3 - np.sqrt(5))  # turn from one direction to the next, radians


def ambient_occlusion(V: FloatArray, F: IntArray, directions: FloatArray) -> FloatArray:
    """Return the share of the light from some directions that reaches each vertex, (n,) in [0, 1].

    Directions are weighted by the cosine between them and the normal.

    Parameters
    ----------
    V : (n, 3) float array, vertices in mm
    F : (m, 3) int array, triangles
    directions : (d, 3) float array of unit vectors, toward the light
    """
    normals = geometry.vertex_normals(V, F)
    reached, all_light = np.zeros(len(V)), np.full(len(V), 1e-9)
    for toward in directions:
        across = np.linalg.qr(np.column_stack([toward, np.eye(3)[np.abs(toward).argmin()]]))[0][:, 1]
        frame = np.array([across, np.cross(toward, across), toward])
        points = V @ frame.T
        points[:, :2] = (points[:, :2] - points[:, :2].min(axis=0)) / PIXEL_MM + 1.0
        width, height = np.ceil(points[:, :2].max(axis=0)).astype(int) + 2
        nearest = geometry.rasterize(points, F, None, (int(height), int(width))).depth
        x, y = np.rint(points[:, :2]).astype(np.int64).T
        light = np.maximum(normals @ toward, 0.0)
        slope = np.sqrt(1 - np.minimum(light, 1.0) ** 2) / np.maximum(light, 1e-3)  # depth per width of a pixel
        behind = np.nan_to_num(nearest[y, x], nan=-np.inf) - points[:, 2]
        visible = behind < HIDDEN_MM + PIXEL_MM * slope
        reached += light * visible
        all_light += light
    return np.asarray(reached / all_light)


def even_directions(count: int) -> FloatArray:
    """Return unit vectors that are spread evenly over the sphere, (count, 3): a Fibonacci lattice."""
    height = 1 - (2 * np.arange(count) + 1) / count
    radius = np.sqrt(1 - height**2)
    return np.column_stack(
        [radius * np.cos(GOLDEN * np.arange(count)), height, radius * np.sin(GOLDEN * np.arange(count))]
    )


def skin_shade(template: Template, tone: FloatArray) -> FloatArray:
    """Return the factors of the colours (R, G, B) of skin by the occlusion of the mean head, (s, 3), coarse vertices.

    Parameters
    ----------
    template : Template
    tone : (3,) float array, colour of the skin in [0, 255]: light that bright skin reflects brightens its hollows, red
        more than blue

    References
    ----------
    The factor for light that is reflected several times is the polynomial of Jimenez, Wu, Pesce and Jarabo 2016,
    "Practical Realtime Strategies for Accurate Indirect Occlusion", section 5.
    """
    share = mean_occlusion(template)[:, None]
    albedo = np.clip(tone / 255.0, 0.0, 1.0) ** GAMMA
    a, b, c = 2.0404 * albedo - 0.3324, -4.7951 * albedo + 0.6417, 2.7552 * albedo + 0.6903
    light = np.maximum(share, ((share * a + b) * share + c) * share)
    return np.asarray(np.clip(light, 1e-3, 1.0) ** (1 / GAMMA))


@load_once(maxsize=2)
def mean_occlusion(template: Template) -> FloatArray:
    """Return `ambient_occlusion` of the coarse skin of the mean head, (s,), symmetric."""
    coarse, count = template.coarse, template.coarse.skin_count
    V = load_face_model().mean[template.vertices]
    share = ambient_occlusion(V, coarse.faces, even_directions(DIRECTIONS))[:count]
    share = 0.5 * (share + share[coarse.mirror[:count]])
    return np.asarray(np.clip(diffused(template, share[:, None], SMOOTH_MM2)[:, 0], 0.0, 1.0))
