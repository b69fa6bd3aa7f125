"""Hair that no photo shows: where the scalp has hair, and a pattern of strands from the crown to the hairline."""

from __future__ import annotations

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, Float16Array, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.covered_ears import SIDES, with_flat_ears
from facegeom.face_model.template import Template
from facegeom.images.sampling import looked_up
from facegeom.texture.baking import Atlas, parts

SKULL_MM = np.array([0.0, 15.0, -75.0])  # middle of the skull, mean head
CROWN = np.array([0.0, 0.85, -0.53])  # direction of the crown from there
STRAND_MM = (1.2, 5.0)  # widths of single strands and of locks
LOCKS = 1.3  # strength of the locks relative to the strands
LEAST_TEXELS = 2.5  # least width of a strand in texels; a narrower one would be a ripple
ALONG = 8  # changes of the brightness of a strand between crown and nape
WAVES = 0.05  # sideways waves of the strands, radians
EAR_TOP_MM, EAR_MM = 2.0, -80.0  # height below which, and depth before which, the scalp beside the ears has no hair
ZONE_MM = (
    8.0,
    26.0,
)  # distances from the scalp up to which, and from which no more, hair of the photo grows on the face
FRINGE_MM = (38.0, 50.0)  # the same on the forehead, where hair hangs
FRINGE_Y_MM = (16.0, 30.0)  # y on the mean face between which the second of these limits begins to apply


@load_once(maxsize=4)
def hair_zone(template: Template, atlas: Atlas) -> Float16Array:
    """Return where hair of the photo is kept, (S, S) in [0, 1]: 1 on the scalp and beside it, 0 on the rest."""
    zone = atlas.carry(template.carry(zone_of_vertices(template))[:, None])[:, 0]
    return np.asarray(atlas.image(zone.astype(np.float16)), np.float16)  # kept for the next photo: little memory


@load_once(maxsize=2)
def zone_of_vertices(template: Template) -> FloatArray:
    """Return `hair_zone` at the vertices of the coarse topology, (n,)."""
    coarse = template.coarse
    skin = coarse.skin_count
    zone = np.zeros(len(template.vertices))
    if "scalp" in coarse.regions:
        places = load_face_model().mean[template.vertices][:skin]
        away = geometry.nearest(places[coarse.regions["scalp"][:skin]], places)[1]
        near, far = (np.interp(places[:, 1], FRINGE_Y_MM, limits) for limits in zip(ZONE_MM, FRINGE_MM, strict=True))
        zone[:skin] = np.clip((far - away) / (far - near), 0, 1)
        for name in ("ear_left", "ear_right", "neck"):
            zone[:skin][coarse.regions[name][:skin]] = 0
    return zone


def hairy_vertices(template: Template, grown: BoolArray | None = None) -> BoolArray:
    """Return the vertices of the coarse topology on which hair grows, (n,): the scalp, but not before the ears.

    `grown` (n,) are vertices beyond that are hair as shape.
    """
    return _scalp(template) if grown is None else _scalp(template) | grown


@load_once(maxsize=2)
def _scalp(template: Template) -> BoolArray:
    coarse = template.coarse
    if "scalp" not in coarse.regions:
        return np.zeros(len(template.vertices), np.bool_)
    places = load_face_model().mean[template.vertices]
    return np.asarray(coarse.regions["scalp"] & ((places[:, 1] > EAR_TOP_MM) | (places[:, 2] < EAR_MM)), np.bool_)


@load_once(maxsize=4)
def strands(template: Template, atlas: Atlas) -> Float16Array:
    """Return the brightness of strands of hair, (S, S), with mean about 0 and deviation about 1; 0 where none grows.

    The strands run from the crown outwards. Each octave of the pattern has a fixed number of strands around the crown,
    and is strong where their width is that of a strand or of a lock.
    """
    possible = zone_of_vertices(template) > 0
    places = load_face_model().mean[template.vertices]
    if "scalp" in template.coarse.regions:
        for name in ("ear_left", "ear_right", "neck"):
            possible |= template.coarse.regions[name]
        skin = template.coarse.skin_count
        places = np.concatenate([with_flat_ears(template, places[:skin], SIDES), places[skin:]])
    hairy = np.flatnonzero(atlas.carry(template.carry(possible.astype(np.float64))[:, None])[:, 0] > 0)
    places = template.carry(places)
    values = np.column_stack([places, LEAST_TEXELS * _texel_widths(template, places) / atlas.size])
    pattern = np.zeros(len(atlas.triangle), np.float16)  # kept for the next photo: little memory
    for part in parts(len(hairy)):
        found = atlas.carry(values, hairy[part])
        pattern[hairy[part]] = _pattern(found[:, :3], found[:, 3])
    return np.asarray(atlas.image(pattern), np.float16)


def _texel_widths(template: Template, places: FloatArray) -> FloatArray:
    """Return the largest width (n,) in mm that a texel of an atlas with one texel has at fine vertices (n, 3), mm."""
    fine = template.fine
    corners, uv = places[fine.faces], fine.uv[fine.uv_faces]
    sides, of_atlas = corners[:, 1:] - corners[:, :1], uv[:, 1:] - uv[:, :1]
    of_atlas[np.linalg.det(of_atlas) == 0] = np.eye(2)
    stretch = np.linalg.solve(of_atlas, sides)
    total, count = np.zeros((2, len(places)))
    np.add.at(total, fine.faces, np.linalg.norm(stretch, ord=2, axis=(1, 2))[:, None])
    np.add.at(count, fine.faces, 1.0)
    return np.asarray(total / np.maximum(count, 1.0))


def _pattern(places: Float32Array, narrowest: Float32Array) -> Float32Array:
    """Return the brightness (t,) of strands at places (t, 3), mm, on the mean head, not narrower than (t,) mm."""
    away = places - SKULL_MM.astype(np.float32)
    radius = np.linalg.norm(away, axis=1)
    up = (CROWN / np.linalg.norm(CROWN)).astype(np.float32)
    side = np.array([1.0, 0.0, 0.0], np.float32)
    height = away @ up
    around = np.arctan2(away @ np.cross(up, side), away @ side)
    down = np.arccos(np.clip(height / np.maximum(radius, 1e-6), -1, 1))
    circle = 2 * np.pi * np.maximum(np.sqrt(np.maximum(radius**2 - height**2, 0)), 1.0)  # mm around the crown
    down, around = down.astype(np.float32), around.astype(np.float32)
    rng = np.random.default_rng(0)
    wave = _noise(rng, around, down, 8, 5)
    around = around + WAVES * wave * np.sin(down)
    total, power = np.zeros((2, len(down)), np.float32)
    strand, lock = (np.log2(circle / np.maximum(width, narrowest)) for width in STRAND_MM)
    for octave in range(3, 11):
        weight = np.exp(-((strand - octave) ** 2)) + LOCKS * np.exp(-((lock - octave) ** 2))
        total += weight * _noise(rng, around, down, 2**octave, ALONG)
        power += weight**2
    return np.asarray(total / np.sqrt(np.maximum(power, 1e-6)), np.float32)


def _noise(rng: np.random.Generator, around: Float32Array, down: Float32Array, count: int, along: int) -> Float32Array:
    """Return smooth noise of unit standard deviation at angles (t,), periodic in the first."""
    table = rng.standard_normal((along + 2, count)).astype(np.float32)
    table = np.concatenate([table, table[:, :2]], axis=1)
    x = ((around / (2 * np.pi)) % 1.0) * count
    y = down / np.pi * along
    found = looked_up(table[..., None], np.column_stack([x, y]))
    return np.asarray(found[:, 0] * np.float32(1.5), np.float32)  # linear interpolation reduces the deviation
