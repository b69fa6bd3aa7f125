"""The template of the head on a scan: registration, completion where the scan is missing, and the finest detail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.head_completion import complete_head
from facegeom.face_model.lip_contact import lips_apart
from facegeom.face_model.template import Template
from facegeom.geometry.boundary import boundary_loops
from facegeom.rigging.surface import Surface


@dataclass(frozen=True)
class WarpOptions:
    """Options of the registration of the template to a scan."""

    rounds: int = 2  # number of registrations; the matches of each come from the result of the one before
    reach_mm: float = 6.0  # largest distance of a point of the scan from the template that it is matched with
    scalp_reach_mm: float = 4.0  # the same at the scalp, which hair hides
    lid_reach_mm: float = 0.8  # the same at the lids, near which lashes and eyeballs lie
    lip_reach_mm: float = 1.5  # the same at the lips, between which teeth may be part of the surface
    lid_facing: float = 0.8  # the same as `facing` at the lids and the lips
    facing: float = 0.5  # smallest cosine between the normals of matched points
    stiffness: float = 2.0  # weight of the thin-plate energy, see `RegistrationOptions`
    noise_floor: float = 0.05  # least noise / mean edge length
    samples: int = 15_000  # number of points of the scan
    on_scan_mm: float = 1.5  # distance from the scan up to which a vertex lies on it
    detail_mm: float = 1.5  # largest displacement of a vertex of the fine mesh along its normal
    detail_rounds: int = 6  # number of times that these displacements are averaged over the neighbours
    measured_mm: float = 5.0  # distance up to which a vertex of the face counts as covered by the scan


class Warped(NamedTuple):
    """The template on a scan.

    Attributes
    ----------
    vertices : (n, 3) float array, mm, vertices of the template
    seen : (s,) float array in [0, 1], how much of the skin at each vertex the scan shows
    """

    vertices: FloatArray
    seen: FloatArray


class Distances(NamedTuple):
    """Distance of the face from the scan: mean and 95th percentile in mm, and the share that the scan covers."""

    mean_mm: float
    p95_mm: float
    coverage: float


def warp(template: Template, fitted: FloatArray, surface: Surface, options: WarpOptions = WarpOptions()) -> Warped:
    """Register the template of a head to the surface of a scan, from the fitted face model.

    Parameters
    ----------
    template : Template of the whole head
    fitted : (n, 3) float array, mm, vertices of the face model
    surface : Surface, mm in the same frame
    options : WarpOptions

    Raises
    ------
    NoFaceFound
        If too little of the surface is near the face model.
    """
    skin, F = template.coarse.skin_count, template.coarse.skin_faces
    start = fitted[template.vertices]
    current = start[:skin]
    registration = geometry.RegistrationOptions(
        alignment="none",
        stiffness=options.stiffness,
        noise_floor=options.noise_floor,
        max_samples=options.samples,
        motion_tolerance=0.01,
    )
    try:
        for _ in range(options.rounds):
            target = _matched(template, current, surface, options)
            current = geometry.register_nonrigid(current, F, template.embedding, *target, registration).vertices
    except ValueError as error:
        raise NoFaceFound(f"the mesh does not show enough of the face: {error}") from error
    current = template.join_lips(start[:skin], current)
    near, cosine = _to_surface(current, F, surface)[:2]
    seen = np.clip((options.on_scan_mm - near) / (0.5 * options.on_scan_mm), 0, 1) * (cosine > options.facing)
    seen = np.where(_at_neck_rim(template), 0.0, _without_specks(F, seen))
    if not seen.any():
        raise NoFaceFound("the mesh does not show enough of the face")
    completed = complete_head(load_face_model(), template, fitted, current, seen)
    return Warped(completed + lips_apart(completed), seen)


def with_scan_detail(
    template: Template, V: FloatArray, surface: Surface, options: WarpOptions = WarpOptions()
) -> FloatArray:
    """Return the fine vertices (n, 3), mm, with the skin moved along its normals onto the scan where it is near."""
    F, count = template.fine.skin_faces, template.fine.skin_count
    skin = V[:count]
    distance, cosine, along = _to_surface(skin, F, surface)
    valid = (distance < options.detail_mm) & (cosine > options.facing) & _moves(template)
    if not valid.any():
        return V
    normals = geometry.vertex_normals(skin, F)
    moved = _smoothed(F, np.where(valid, along, 0.0), valid.astype(np.float64), options.detail_rounds)
    return np.concatenate([skin + moved[:, None] * normals, V[count:]])


def face_distances(
    template: Template, V: FloatArray, surface: Surface, options: WarpOptions = WarpOptions()
) -> Distances:
    """Return how far the skin of the face of a fine mesh (n, 3), mm, is from a scan, weighted by area."""
    F, count = template.fine.skin_faces, template.fine.skin_count
    skin = V[:count]
    distance, cosine, _ = _to_surface(skin, F, surface)
    face = (template.fine.regions["map"] & template.fine.regions["face"])[:count]
    weight = _areas(skin, F) * face
    covered = (distance < options.measured_mm) & (cosine > options.facing)
    share = float(weight[covered].sum() / weight.sum())
    if not covered[face].any():
        return Distances(float("nan"), float("nan"), 0.0)
    rows = np.flatnonzero(covered & face)
    order = rows[np.argsort(distance[rows])]
    reached = np.cumsum(weight[order])
    p95 = float(distance[order[np.searchsorted(reached, 0.95 * reached[-1])]])
    return Distances(float(np.average(distance[rows], weights=weight[rows])), p95, share)


def _matched(
    template: Template, skin: FloatArray, surface: Surface, options: WarpOptions
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return the part of a surface near the skin (s, 3): vertices, triangles, and their places on the mean face."""
    F = template.coarse.skin_faces
    found = geometry.closest_points(skin, F, surface.V)
    corners = F[found.face]
    normals = (geometry.vertex_normals(skin, F)[corners] * found.weights[:, :, None]).sum(axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    limit = np.full(len(corners), options.reach_mm)
    limit[_members(template, "scalp")[corners].all(axis=1)] = options.scalp_reach_mm
    lids = _members(template, "eyelids")[corners].any(axis=1)
    limit[lids] = options.lid_reach_mm
    lips = _members(template, "lips")[corners].any(axis=1)
    limit[lips] = options.lip_reach_mm
    facing = np.where(lids | lips, options.lid_facing, options.facing)
    used = (found.distance < limit) & ((normals * surface.N).sum(axis=1) > facing)
    faces = surface.F[used[surface.F].all(axis=1)]
    rows = np.unique(faces)
    place = np.full(len(surface.V), -1)
    place[rows] = np.arange(len(rows))
    embedding = (template.embedding[corners[rows]] * found.weights[rows][:, :, None]).sum(axis=1)
    return surface.V[rows], place[faces], embedding


def _to_surface(skin: FloatArray, F: IntArray, surface: Surface) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return for each vertex (s, 3) its distance from a surface, the cosine of the normals, and the way along its own.

    The cosine is -1 where the closest point lies on a border of the surface: the surface ends there.
    """
    found = geometry.closest_points(surface.V, surface.F, skin)
    corners = surface.F[found.face]
    normals = geometry.vertex_normals(skin, F)
    theirs = (surface.N[corners] * found.weights[:, :, None]).sum(axis=1)
    theirs /= np.maximum(np.linalg.norm(theirs, axis=1, keepdims=True), 1e-9)
    cosine = (theirs * normals).sum(axis=1)
    place = (surface.V[corners] * found.weights[:, :, None]).sum(axis=1)
    along = ((place - skin) * normals).sum(axis=1)
    off = np.linalg.norm(place - skin - along[:, None] * normals, axis=1)
    beyond = off > 0.5 + 0.5 * np.abs(along)  # the nearest point is not across: the surface ends before
    return found.distance, np.where(beyond, -1.0, cosine), along


def _without_specks(F: IntArray, seen: FloatArray, rounds: int = 2) -> FloatArray:
    """Return the visibility (s,) of vertices without lone vertices: the least of those of the neighbours' means."""
    count = np.bincount(F.ravel(), minlength=len(seen)).astype(np.float64)
    for _ in range(rounds):
        mean = np.bincount(F.ravel(), weights=np.repeat(seen[F].mean(axis=1), 3), minlength=len(seen))
        seen = np.minimum(seen, np.where(count > 0, mean / np.maximum(count, 1), 0.0))
    return np.where(seen > 0.2, seen, 0.0)


def _smoothed(F: IntArray, values: FloatArray, weight: FloatArray, rounds: int) -> FloatArray:
    """Return values (n,) at vertices, averaged over the neighbours with weights (n,); without any weight they are 0."""
    ends = np.concatenate([F, F[:, [1, 2, 0]], F[:, [2, 0, 1]]])
    source, target = ends[:, :2].ravel(), ends[:, [1, 0]].ravel()
    count = 1.0 + np.bincount(target, minlength=len(values))
    total, share = values * weight, weight
    for _ in range(rounds):
        total, share = (
            (part + np.bincount(target, weights=part[source], minlength=len(values))) / count for part in (total, share)
        )
    return np.asarray(total / np.maximum(share, 0.5))


def _areas(V: FloatArray, F: IntArray) -> FloatArray:
    """Return a third of the area of the triangles around each vertex, (n,)."""
    a, b, c = (V[F[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    return np.asarray(np.bincount(F.ravel(), weights=np.repeat(area, 3), minlength=len(V)), np.float64)


def _members(template: Template, name: str) -> BoolArray:
    """Return the vertices of the coarse skin, (s,), in the regions whose names begin with `name`."""
    regions, count = template.coarse.regions, template.coarse.skin_count
    members = [mask[:count] for region, mask in regions.items() if region.startswith(name)]
    return np.asarray(np.any(members, axis=0), np.bool_)


@load_once(maxsize=2)
def _at_neck_rim(template: Template) -> BoolArray:
    """Return the vertices of the coarse skin, (s,), near the end of the neck, which stays even."""
    F, places = template.coarse.skin_faces, template.embedding
    near = np.zeros(template.coarse.skin_count, np.bool_)
    near[min(boundary_loops(F), key=lambda loop: float(places[loop, 1].min()))] = True
    for _ in range(3):
        near[F[near[F].any(axis=1)]] = True
    return near


@load_once(maxsize=2)
def _moves(template: Template) -> BoolArray:
    """Return the vertices of the fine skin, (s,), that lie away from its borders: lids and lips stay whole."""
    F, count = template.fine.skin_faces, template.fine.skin_count
    near = np.zeros(count, np.bool_)
    for loop in boundary_loops(F):
        near[loop] = True
    for _ in range(2):
        near[F[near[F].any(axis=1)]] = True
    regions = template.fine.regions
    return ~(near | regions["eyelids_left"][:count] | regions["eyelids_right"][:count])
