"""Blendshapes that move the lids of a person: the lids of `eyeBlink` meet, and all stay in front of the eyeball.

The displacements of the face model are the same for all people. An eye that is opened wider than that of the mean face
would keep a gap, and a narrower one would cross its lids. For each person the displacements are therefore corrected at
the margins of the lids, and the correction is spread over the lids. Between the weights 0 and 1 a lid moves on a
straight line, which would cut through the ball; the lid is moved forward until no part of its way does. A margin is the
edge of a lid that is visible from the front; the skin goes on behind it, up to the rim of the eye socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model.blendshapes import template_blendshapes
from facegeom.face_model.model import load_face_model
from facegeom.face_model.template import Template
from facegeom.geometry.boundary import boundary_loops
from facegeom.mesh.parts import sphere_centre

UPPER_SHARE = 0.85
"""Share of a gap that the upper lid closes; the lower lid closes the rest."""

ALONG_MM, ACROSS_MM = 1.5, 5.0
"""Standard deviations in mm of the weights with which lids follow their margin: along the margin, and away from it."""

BEHIND_MM = 7.0
"""Largest distance in mm of a margin from the rim of the eye socket."""

COLUMN_MM = 1.0
"""Largest difference in x, in mm, between a vertex of the rim and the vertex of the margin in front of it."""

CLEARANCE_MM = 0.25
"""Least distance in mm between a closed lid and the eyeball."""

RIM_MM = (0.0, 1.0)
"""Distances in mm from the rim of the socket between which the skin begins to leave the eyeball: the rim stays."""

WHOLE_MM, AROUND_MM = 11.0, 15.0
"""Distances in mm from the rim of the socket up to which the skin leaves the eyeball wholly, and at all."""

OVERLAP_MM = 0.5
"""Height in mm by which the margins of closed lids overlap, so that no gap is left between vertices."""

ROUNDS = 5
"""Number of corrections; after each, the margin may be at other vertices."""

LINE_STEP_MM = 0.1
"""Distance in mm of the points that represent the line of a margin."""

LINE_SMOOTHING = 2
"""Number of neighbours on each side over which the vertices of a margin are averaged for its line."""

ON_WAY = (0.5, 0.75)
"""Weights below 1 at which a lid that moves is kept in front of the eyeball."""

BACK_MM = 0.5
"""Distance in mm behind the margin of a lid from which the skin stays where it is when the lid moves off the ball."""

COVERING = ("eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeSquint")
"""Blendshapes whose lids are kept in front of the eyeball."""

PROFILE_DEGREES, PROFILE_TURNS = 2.0, 8
"""Step of the angles from the axis of an eyeball at which its radius is measured, and number of directions at each."""

PIXELS_PER_MM = 20.0
"""Resolution of the measurement of gaps."""


@dataclass(frozen=True, eq=False)
class _Eye:
    """The lids of an eye on the fine vertices of a template; u and l vertices of the rims, k of the lids."""

    ball: BoolArray  # (n,)
    lids: IntArray  # (k,)
    leaves: FloatArray  # (k,), 0 at the rim of the socket to 1 away from it
    columns: tuple[list[IntArray], list[IntArray]]  # vertices in front of each of u and l places along the eye
    follow: tuple[FloatArray, FloatArray]  # (k, u) and (k, l), weights with which the lids follow their margins


def closing_blinks(template: Template, V: FloatArray, on_way: tuple[float, ...] = ON_WAY) -> dict[str, Float32Array]:
    """Return the shapes eyeBlinkLeft and eyeBlinkRight of a person.

    Parameters
    ----------
    template : Template
    V : (n, 3) float array, mm, the fine vertices of the neutral face
    on_way : weights below 1 at which the lids are in front of the eyeball, too

    Returns
    -------
    mapping from name to (n, 3) float32 array
        Displacements at weight 1, mm; read-only.
    """
    shapes = {}
    for side in ("left", "right"):
        name = f"eyeBlink{side.capitalize()}"
        eye = _eye(template, side)
        shape, ball = template_blendshapes(template)[name].copy(), _Ball.of(V[eye.ball])
        closed, opened = V + shape, V[eye.lids]
        at_rest, outer = ball.depth(opened), _outer(template, side) if on_way else eye.leaves
        for _ in range(ROUNDS):
            upper, lower = _margins(eye, closed)
            over, under = closed[upper], closed[lower]
            gap = np.maximum(over[:, 1] - _height(over[:, 0], under) + OVERLAP_MM, 0.0)
            gap_below = np.maximum(_height(under[:, 0], over) - under[:, 1] + OVERLAP_MM, 0.0)
            closed[eye.lids, 1] -= UPPER_SHARE * (eye.follow[0] @ gap)
            closed[eye.lids, 1] += (1.0 - UPPER_SHARE) * (eye.follow[1] @ gap_below)
            for weight in on_way:
                way = opened + weight * (closed[eye.lids] - opened)
                closed[eye.lids] += ball.outward(way, outer, at_rest) / weight
            closed[eye.lids] += ball.outward(closed[eye.lids], eye.leaves)
        shape[eye.lids] = (closed - V)[eye.lids]
        shape.flags.writeable = False
        shapes[name] = shape
    return shapes


def covering_lids(template: Template, V: FloatArray) -> dict[str, Float32Array]:
    """Return the other shapes of a person whose lids move over the eyeball; the eyeball does not come through them.

    Parameters
    ----------
    template : Template
    V : (n, 3) float array, mm, the fine vertices of the neutral face

    Returns
    -------
    mapping from name to (n, 3) float32 array
        Displacements at weight 1, mm; read-only.
    """
    shapes = {}
    for side in ("left", "right"):
        eye = _eye(template, side)
        centre, opened = sphere_centre(V[eye.ball]), V[eye.lids]
        at_rest, outer = _Ball.of(V[eye.ball], centre).depth(opened), _outer(template, side)
        for name in (f"{shape}{side.capitalize()}" for shape in COVERING):
            shape = template_blendshapes(template)[name].copy()
            for weight in (*ON_WAY, 1.0):  # the ball of an eyeLook shape turns
                ball = _Ball.of(V[eye.ball] + weight * shape[eye.ball], centre)
                shape[eye.lids] += ball.outward(opened + weight * shape[eye.lids], outer, at_rest) / weight
            shape.flags.writeable = False
            shapes[name] = shape
    return shapes


def _outer(template: Template, side: str) -> FloatArray:
    """Return the part of a motion off the eyeball that each vertex of the lids makes, (k,): none behind the margins,
    where a lid that moves forward would show its back.
    """
    eye = _eye(template, side)
    distance = lid_margin(template, side).distance[eye.lids]
    return np.asarray(eye.leaves * np.clip(1.0 + distance / BACK_MM, 0.0, 1.0))


class _Ball(NamedTuple):
    """An eyeball as a surface of revolution: a ball with the bulge of the cornea."""

    centre: FloatArray  # (3,)
    axis: FloatArray  # (3,), unit vector to the middle of the cornea
    angles: FloatArray  # (a,), angles from the axis, ascending, radians
    radii: FloatArray  # (a,), mm, largest at each angle

    @classmethod
    def of(cls, vertices: FloatArray, centre: FloatArray | None = None) -> _Ball:
        """Measure the eyeball with vertices (b, 3); `centre` (3,) is measured if it is None."""
        centre = sphere_centre(vertices) if centre is None else centre
        arms = vertices - centre
        radius = np.linalg.norm(arms, axis=1)
        axis = np.maximum(radius - np.median(radius), 0.0) @ arms
        axis = axis / np.linalg.norm(axis)
        side = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
        side /= np.linalg.norm(side)
        angles = np.radians(np.arange(0.0, 180.0 + PROFILE_DEGREES, PROFILE_DEGREES))
        turns = 2.0 * np.pi * np.arange(PROFILE_TURNS) / PROFILE_TURNS
        around = np.outer(np.cos(turns), side) + np.outer(np.sin(turns), np.cross(axis, side))
        directions = np.cos(angles)[:, None, None] * axis + np.sin(angles)[:, None, None] * around
        weight = np.exp((directions @ (arms / radius[:, None]).T - 1.0) / 0.004)
        return cls(centre, axis, angles, np.asarray(((weight @ radius) / weight.sum(axis=2)).max(axis=1)))

    def depth(self, points: FloatArray) -> FloatArray:
        """Return by how much points (k, 3) are nearer to the ball than `CLEARANCE_MM`, (k,), mm; 0 if they are not."""
        rays = points - self.centre
        distance = np.maximum(np.linalg.norm(rays, axis=1), 1e-9)
        angle = np.arccos(np.clip(rays @ self.axis / distance, -1.0, 1.0))
        return np.asarray(np.maximum(np.interp(angle, self.angles, self.radii) + CLEARANCE_MM - distance, 0.0))

    def outward(self, points: FloatArray, share: FloatArray, allowed: FloatArray | float = 0.0) -> FloatArray:
        """Return the motion (k, 3) of points (k, 3) out of the ball, up to where their depth is `allowed` (k,).

        `share` (k,) is the part of the motion that each point makes.
        """
        rays = points - self.centre
        motion = share * np.maximum(self.depth(points) - allowed, 0.0)
        return np.asarray(rays * (motion / np.maximum(np.linalg.norm(rays, axis=1), 1e-9))[:, None])


def _margins(eye: _Eye, V: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the margins of the lids, (u,) and (l,): the lowest vertices of the upper lid, the highest of the lower."""
    upper = [column[V[column, 1].argmin()] for column in eye.columns[0]]
    lower = [column[V[column, 1].argmax()] for column in eye.columns[1]]
    return np.array(upper), np.array(lower)


@load_once(maxsize=4)
def _eye(template: Template, side: str) -> _Eye:
    model, fine = load_face_model(), template.fine
    V = template.subdivide(model.mean[template.vertices])
    across = 1.0 if side == "left" else -1.0
    loops = [loop for loop in boundary_loops(fine.skin_faces) if fine.regions["eye_rims"][loop].all()]
    loop = next(loop for loop in loops if across * V[loop, 0].mean() > 0)
    loop = np.roll(loop, -int(V[loop, 0].argmin()))
    far = int(V[loop, 0].argmax())
    paths = loop[: far + 1], np.append(loop[far:], loop[0])
    upper, lower = sorted(paths, key=lambda path: -float(V[path, 1].mean()))
    rims = [path[np.argsort(V[path, 0], kind="stable")] for path in (upper, lower)]
    lids = np.flatnonzero(geometry.nearest(V[loop], V[: fine.skin_count])[1] < AROUND_MM)
    away = [geometry.nearest(V[rim], V[lids])[1] for rim in rims]
    is_upper = away[0] <= away[1]
    from_rim = np.minimum(*away)
    leaves = np.clip((from_rim - RIM_MM[0]) / (RIM_MM[1] - RIM_MM[0]), 0.0, 1.0)
    leaves *= np.clip((AROUND_MM - from_rim) / (AROUND_MM - WHOLE_MM), 0.0, 1.0)
    columns: list[list[IntArray]] = []
    follow = []
    for rim, part, distance in zip(rims, (is_upper, ~is_upper), away, strict=True):
        own = lids[part & (distance < BEHIND_MM)]
        columns.append([np.append(own[np.abs(V[own, 0] - V[vertex, 0]) < COLUMN_MM], vertex) for vertex in rim])
        sign = 1.0 if part is is_upper else -1.0
        margin = np.array([column[(sign * V[column, 1]).argmin()] for column in columns[-1]])
        squared = ((V[lids, None] - V[None, margin]) ** 2).sum(axis=2)
        nearest = squared.min(axis=1, keepdims=True)
        share = np.exp((nearest - squared) / (2 * ALONG_MM**2))
        share *= part[:, None] * np.exp(-nearest / (2 * ACROSS_MM**2)) / share.sum(axis=1, keepdims=True)
        follow.append(share)
    return _Eye(fine.regions[f"eyeball_{side}"], lids, leaves, (columns[0], columns[1]), (follow[0], follow[1]))


def _height(x: FloatArray, margin: FloatArray) -> FloatArray:
    """Return the height (p,) of a margin (m, 3) at places x (p,)."""
    order = np.argsort(margin[:, 0], kind="stable")
    return np.asarray(np.interp(x, margin[order, 0], margin[order, 1]))


class LidMargin(NamedTuple):
    """Where the fine vertices of a template are, relative to the margins of the closed lids of one eye.

    Attributes
    ----------
    distance : (n,) float array, mm from the nearest margin on the mean face, negative for skin between the margin and
        the rim of the eye socket, infinite for vertices that are no skin or belong to the other eye
    upper : (n,) bool array, vertices that are nearer to the margin of the upper lid
    from_corner : (n,) float array, mm, by which the other margin is farther away: 0 at the corners of the eye
    """

    distance: FloatArray
    upper: BoolArray
    from_corner: FloatArray


@load_once(maxsize=4)
def lid_margin(template: Template, side: str) -> LidMargin:
    """Return how far the fine vertices of a template are from the margins of the lids of the "left" or "right" eye."""
    eye, fine = _eye(template, side), template.fine
    V = template.subdivide(load_face_model().mean[template.vertices])
    closed = V + closing_blinks(template, V, ())[f"eyeBlink{side.capitalize()}"]
    lines = [_line(V[margin]) for margin in _margins(eye, closed)]
    rims = np.unique(np.concatenate([[column[-1] for column in part] for part in eye.columns]))
    skin = np.flatnonzero(V[: fine.skin_count, 0] * (1.0 if side == "left" else -1.0) > 0)
    to_upper, to_lower = (geometry.nearest(line, V[skin])[1] for line in lines)
    both = np.concatenate(lines)
    nearest, away = geometry.nearest(both, V[skin])
    behind = geometry.nearest(V[rims], V[skin])[1] < geometry.nearest(V[rims], both)[1][nearest]
    distance, upper, from_corner = np.full(len(V), np.inf), np.zeros(len(V), np.bool_), np.zeros(len(V))
    distance[skin], upper[skin] = np.where(behind, -away, away), to_upper <= to_lower
    from_corner[skin] = np.abs(to_upper - to_lower)
    return LidMargin(distance, upper, from_corner)


def _line(margin: FloatArray) -> FloatArray:
    """Return points (p, 3) on a smooth line along the vertices (m, 3) of a margin, in order, `LINE_STEP_MM` apart."""
    padded = np.pad(margin, ((LINE_SMOOTHING, LINE_SMOOTHING), (0, 0)), mode="edge")
    smooth = np.mean([padded[i : i + len(margin)] for i in range(2 * LINE_SMOOTHING + 1)], axis=0)
    lengths = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(smooth, axis=0), axis=1)))
    places = np.arange(0.0, lengths[-1], LINE_STEP_MM)
    return np.column_stack([np.interp(places, lengths, smooth[:, axis]) for axis in range(3)])


def lid_gap(template: Template, closed: FloatArray, side: str) -> float:
    """Return the largest height in mm, seen from the front, of what closed lids leave visible behind them.

    Parameters
    ----------
    template : Template
    closed : (n, 3) float array, mm, fine vertices with closed eyes
    side : "left" or "right"
    """
    eye, fine = _eye(template, side), template.fine
    low, high = closed[eye.lids].min(axis=0) - 1.0, closed[eye.lids].max(axis=0) + 1.0
    width, height = np.ceil((high - low)[:2] * PIXELS_PER_MM).astype(int).tolist()
    points = (closed - (low[0], high[1], 0.0)) * (PIXELS_PER_MM, -PIXELS_PER_MM, 1.0)
    inside = ((closed > low) & (closed < high))[:, :2].all(axis=1)
    near = np.flatnonzero(inside[fine.faces].any(axis=1))
    shown = geometry.rasterize(points, fine.faces[near], None, (height, width)).triangle
    behind = near[np.maximum(shown, 0)] >= fine.skin_triangles
    return float((behind & (shown >= 0)).sum(axis=0).max()) / PIXELS_PER_MM
