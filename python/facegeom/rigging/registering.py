"""Registration of any two meshes, with a table of the errors before and after."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.outputs import printable
from facegeom._internal.threads import one_thread
from facegeom.errors import FacegeomError
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.rigging.landmarks import read_json

OPTIONS = geometry.RegistrationOptions(least_reach=0.015)
"""Options of the registration: a smaller final smoothing length than by default lays a face closer to its target, in
the same time (`python bench/register_meshes.py`)."""

LEAST = 3
"""Smallest number of pairs of landmarks."""


@dataclass(frozen=True)
class SurfaceErrors:
    """Distances between two surfaces, and of landmarks, in the unit of the target.

    Attributes
    ----------
    to_target, from_target : mean, 95th percentile and maximum of the distance of the vertices of the template from the
        surface of the target, and of those of the target from the template
    landmarks : mean and maximum distance of the landmarks; None without landmarks
    """

    to_target: tuple[float, float, float]
    from_target: tuple[float, float, float]
    landmarks: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers by name."""
        names = ("mean", "p95", "max")
        return {
            "template to target": dict(zip(names, self.to_target, strict=True)),
            "target to template": dict(zip(names, self.from_target, strict=True)),
            "landmarks": None if self.landmarks is None else dict(zip(("mean", "max"), self.landmarks, strict=True)),
        }


@dataclass(frozen=True)
class RegisteredMesh:
    """A template on a target.

    Attributes
    ----------
    mesh : FaceMesh, the template with the registered vertices
    before, after : SurfaceErrors
    converged : whether the registration converged
    reason : why it ended
    """

    mesh: FaceMesh
    before: SurfaceErrors
    after: SurfaceErrors
    converged: bool
    reason: str


@one_thread()
def register_meshes(
    template: FaceMesh, target: FaceMesh, landmarks: tuple[IntArray, FloatArray] | None = None
) -> RegisteredMesh:
    """Deform a template mesh so that it lies on a target mesh.

    Parameters
    ----------
    template, target : FaceMesh, see `facegeom.geometry.register_nonrigid` for how they may lie
    landmarks : vertices (k,) of the template and their positions (k, 3) on the target, or None

    Raises
    ------
    ValueError, SolverError
        As `register_nonrigid`.
    """
    for name, mesh in (("template", template), ("target", target)):
        if not len(mesh.faces):
            raise ValueError(f"the {name} has no triangles")
    found = geometry.register_nonrigid(
        template.vertices, template.faces, None, target.vertices, target.faces, None, landmarks=landmarks,
        options=OPTIONS,
    )  # fmt: skip
    mesh = replace(template, vertices=found.vertices)
    before = surface_errors(template, target, landmarks)
    return RegisteredMesh(mesh, before, surface_errors(mesh, target, landmarks), found.converged, found.reason)


def surface_errors(mesh: FaceMesh, target: FaceMesh, landmarks: tuple[IntArray, FloatArray] | None) -> SurfaceErrors:
    """Return the distances between two meshes, at the vertices of their triangles, and of the landmarks."""
    places = (mesh.vertices[np.unique(mesh.faces)], target.vertices[np.unique(target.faces)])
    to = geometry.closest_points(target.vertices, target.faces, places[0]).distance
    back = geometry.closest_points(mesh.vertices, mesh.faces, places[1]).distance
    marks = None
    if landmarks is not None:
        away = np.linalg.norm(mesh.vertices[landmarks[0]] - landmarks[1], axis=1)
        marks = (float(away.mean()), float(away.max()))
    return SurfaceErrors(_three(to), _three(back), marks)


def _three(values: FloatArray) -> tuple[float, float, float]:
    return float(values.mean()), float(np.percentile(values, 95)), float(values.max())


def read_pairs(path: str | os.PathLike[str], template: FaceMesh) -> tuple[IntArray, FloatArray]:
    """Read pairs of landmarks from a JSON file.

    Parameters
    ----------
    path : file with an object with the lists "template" and "target" of equal length, at least three
        Those of the target are points [x, y, z]; those of the template are vertices or points, whose nearest vertex
        counts.
    template : FaceMesh

    Raises
    ------
    FileNotFoundError, FacegeomError
        If there is no such file, or it is not of this form.
    """
    content, name = read_json(path), printable(os.path.basename(os.fspath(path)))
    if not isinstance(content, dict) or not {"template", "target"} <= set(content):
        raise FacegeomError(f'{name} must contain an object with the lists "template" and "target"')
    given, goal = content["template"], content["target"]
    if not isinstance(given, list) or not isinstance(goal, list) or len(given) != len(goal) or len(goal) < LEAST:
        raise FacegeomError(f"{name} must have at least {LEAST} landmarks, the same number for both meshes")
    try:
        places = check.float_array(goal, "target", (None, 3))
        if isinstance(given[0], Sequence):
            ids = geometry.nearest(template.vertices, check.float_array(given, "template", (None, 3)))[0]
        else:
            ids = check.index_array(given, "template", (None,), len(template.vertices))
    except (TypeError, ValueError) as error:
        raise FacegeomError(f"{name}: {error}") from error
    return ids, places
