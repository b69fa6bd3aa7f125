"""`rig` and its result: a head with blendshapes from a scan or another mesh of a face or head."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom._internal.threads import one_thread
from facegeom.errors import NoFaceFound
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.blendshapes import arkit_weights, gaze_weights
from facegeom.face_model.fitting import possible_expression
from facegeom.face_model.point_fit import Fit
from facegeom.face_model.template import Template, load_template
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.mesh.formats import BLENDSHAPE_FORMATS, save_mesh
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend
from facegeom.pipelines.template_stages import driven, fitted_vertices
from facegeom.rigging.coloring import Colours, coloured, eyes_of, front_view
from facegeom.rigging.fitting import fit_landmarked, fit_seen, fit_surface, with_closed_lids
from facegeom.rigging.landmarks import model_landmarks
from facegeom.rigging.placement import Placement, unit_of
from facegeom.rigging.scan import Scan, read_scan
from facegeom.rigging.search import find_face
from facegeom.rigging.surface import FACE_VIEWS, HEAD_VIEWS, Surface, seen_surface, without_noise
from facegeom.rigging.warping import Distances, face_distances, warp, with_scan_detail
from facegeom.texture.baking import SIZES

log = logging.getLogger("facegeom")

TEXTURE = 1024
"""Side length of the texture, texels, if the caller gives none."""

MOST_FAR_MM, LEAST_COVERED = 2.0, 0.4
"""Largest mean distance of the fitted face model from a mesh, and smallest share of it that the mesh covers: below,
what looks like a face is none. Of the heads of `facegeom evaluate rig`, the fit is 0.3 to 1.2 mm away."""


MOST_UNUSUAL = 1.8
"""Largest root mean square of the first coefficients of the identity, standard deviations. People have about 1, and a
face model that is bent to a ball has 2."""

FIRST = 20
"""Number of these coefficients."""


@dataclass(frozen=True, eq=False, repr=False)
class Rigged:
    """The head that `rig` made from a scan.

    Attributes
    ----------
    mesh : FaceMesh
        The head in the pose of the scan, in the face frame, mm, with the topology and the 52 blendshapes of heads of
        photos; with a texture if the scan has colours.
    neutral : FaceMesh
        The head without the expression of the scan.
    distance_mm, p95_mm : mean and 95th percentile of the distance of the skin of the face from the scan, mm, by area,
        where the scan covers it
    coverage : share of the area of the face that the scan covers
    transform : (4, 4) float array, from coordinates of the scan to the face frame, mm
    unit : "mm", "cm", "in", "dm" or "m", the unit of the scan by the size of the face; None if none of them fits, so
        that the head has the size of an average head
    mm_per_unit : length of a unit of the scan, mm
    landmarks : (68, 3) float array, landmarks of `mesh` as `Reconstruction.landmarks`, mm
    blendshapes : dict from each of ARKit's names to float, the expression of the scan
    identity : (k,) float array, coefficients of the fitted face model, in standard deviations
    timings : dict from step name to milliseconds
    """

    mesh: FaceMesh
    neutral: FaceMesh
    distance_mm: float
    p95_mm: float
    coverage: float
    transform: FloatArray
    unit: str | None
    mm_per_unit: float
    landmarks: FloatArray
    blendshapes: dict[str, float]
    identity: FloatArray
    timings: dict[str, float] = field(default_factory=dict)

    def save(
        self, target: str | os.PathLike[str] | BinaryIO, neutral: bool = False, *, format: str | None = None
    ) -> None:
        """Write the head to a .glb, .gltf, .usdz, .obj, .ply, .stl or .html file.

        Parameters
        ----------
        target : path, or binary file object
        neutral : True: without the expression of the scan
        format : format of a file object; None for a path

        Raises
        ------
        FacegeomError, OSError
            As `facegeom.mesh.formats.save_mesh`.

        Notes
        -----
        As with photos, files with blendshapes contain the neutral head and the expression of the scan as initial
        weights, and the others contain `mesh`.
        """
        named = os.path.splitext(os.fspath(target))[1] if isinstance(target, (str, os.PathLike)) else f".{format}"
        driven_file = str(named).lower()[1:] in BLENDSHAPE_FORMATS
        mesh = self.neutral if neutral else self.mesh
        if driven_file and not neutral:
            mesh = replace(self.neutral, weights=self.blendshapes)
        save_mesh(mesh, target, format)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of the result as values that JSON can represent."""
        return {
            "vertices": len(self.mesh.vertices),
            "faces": len(self.mesh.faces),
            "distance_mm": round(self.distance_mm, 4),
            "p95_mm": round(self.p95_mm, 4),
            "coverage": round(self.coverage, 4),
            "unit": self.unit,
            "mm_per_unit": self.mm_per_unit,
            "transform": self.transform.tolist(),
            "blendshapes": {name: round(weight, 5) for name, weight in self.blendshapes.items()},
            "identity": self.identity.round(5).tolist(),
            "landmarks": self.landmarks.round(4).tolist(),
            "milliseconds": {name: round(spent, 2) for name, spent in self.timings.items()},
        }

    def __repr__(self) -> str:
        """Return a short description without the arrays."""
        return (
            f"Rigged({self.mesh!r}, distance_mm={self.distance_mm:.2f}, p95_mm={self.p95_mm:.2f}, "
            f"coverage={self.coverage:.2f}, unit={self.unit})"
        )


@one_thread()
def rig(
    mesh: Any,
    *,
    landmarks: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    texture: int | None = TEXTURE,
    device: str = "cpu",
    backend: str = DEFAULT_BACKEND,
) -> Rigged:
    """Make a head with ARKit's 52 blendshapes from a scan or another mesh of a face or head.

    Parameters
    ----------
    mesh : path of a .glb, .obj, .ply or .stl file, FaceMesh, trimesh.Trimesh, or pair of vertices (n, 3) and triangles
        (m, 3)
        In any unit, place and orientation. Holes, noise, several parts, non-manifold edges and wrong winding are
        allowed.
    landmarks : None: the face is searched. Else the search is left out: (68, 3) array of the points of Multi-PIE, or
        mapping from at least three names of `facegeom.rigging.landmarks.NAMED` to points, in coordinates of the mesh
    texture : side length of the square texture in pixels, from 16 to 2048, if the mesh has a texture or colours of
        vertices; None: no colours
    device, backend : as in `facegeom.reconstruct`

    Returns
    -------
    Rigged

    Raises
    ------
    NoFaceFound
        When no face is found on the mesh, or its surface there does not have the shape of a face.
    FacegeomError, FileNotFoundError
        When the file cannot be read, or `backend` is not installed.
    WeightsError
        When the weights of a network cannot be loaded.
    TypeError, ValueError
        When an argument is invalid.

    Notes
    -----
    The mesh is rendered from all sides; the detector and the map network of photos find the face. The face model is
    fitted to the surface by closest points, and the template of heads is registered to it. What is far from the
    template, such as hair and shoulders, does not pull. Eyes, mouth interior, and all that the mesh lacks come from the
    face model.

    Examples
    --------
    >>> rigged = facegeom.rig("scan.obj")  # doctest: +SKIP
    >>> rigged.save("head.glb")  # doctest: +SKIP
    """
    check_backend(backend, device)
    if texture is not None:
        texture = check.count(texture, "texture", *SIZES)
    model, timings, seen = load_face_model(), dict[str, float](), None
    given = None if landmarks is None else model_landmarks(model, landmarks)
    with stopwatch(timings, "reading"):
        scan = read_scan(mesh)
    if given is None:
        with stopwatch(timings, "search"):
            seen = find_face(scan, device, backend)
            start, marks = fit_seen(scan, seen, model), None
    else:
        marks = given[0], (given[1] - scan.centre) / scan.unit
        start = fit_landmarked(*marks, model)
    with stopwatch(timings, "fit"):
        fit, placement = fit_surface(seen_surface(scan.skin, start[1], FACE_VIEWS), start, marks, model)
        if seen is not None:
            fit = with_closed_lids(model, fit, seen.prediction.fit)
        unit, length = unit_of(placement.scale / scan.unit)
        factor = length * scan.unit / placement.scale
        placement = placement.resized(factor)
        surface = seen_surface(scan.skin, placement, (*FACE_VIEWS, *HEAD_VIEWS))
    fitted = factor * fitted_vertices(model, fit)
    template = load_template(head=True)
    _require_face(template, fit, fitted, surface)
    with stopwatch(timings, "registration"):
        smooth = without_noise(surface)
        warped = warp(template, fitted, smooth)
    with stopwatch(timings, "detail"):
        V = with_scan_detail(template, template.subdivide(warped.vertices), smooth)
        distances = face_distances(template, V, surface)
    skin = template.coarse.skin_count
    seen_share = template.carry(np.concatenate([warped.seen, np.zeros(len(warped.vertices) - skin)]))
    return _finished(
        scan, model, template, fit, placement, V, seen_share, distances, (unit, length), texture, backend, timings
    )


def _require_face(template: Template, fit: Fit, fitted: FloatArray, surface: Surface) -> None:
    """Raise NoFaceFound if a fit, with vertices (n, 3) in mm, does not lie on the surface, or is no usual face."""
    near = face_distances(template, template.subdivide(fitted[template.vertices]), surface)
    unusual = float(np.sqrt((fit.identity[:FIRST] ** 2).mean()))
    log.debug("fit: %.2f mm from the mesh, which covers %.2f of it; identity %.2f", *near[::2], unusual)
    if near.coverage < LEAST_COVERED or near.mean_mm > MOST_FAR_MM or unusual > MOST_UNUSUAL:
        away = f" and is {near.mean_mm:.1f} mm away from it" if near.coverage else ""
        raise NoFaceFound(
            "what looks like a face on the mesh does not have the shape of a face: "
            f"the mesh covers {100 * near.coverage:.0f} % of a fitted face{away}"
        )


def _finished(
    scan: Scan,
    model: FaceModel,
    template: Template,
    fit: Fit,
    placement: Placement,
    V: FloatArray,
    seen: FloatArray,
    distances: Distances,
    unit: tuple[str | None, float],
    texture: int | None,
    backend: str,
    timings: dict[str, float],
) -> Rigged:
    """Add blendshapes and colours to the fine vertices (n, 3) of a registered head."""
    weights = arkit_weights(possible_expression(model, fit.expression))
    colours: Colours | None = None
    if texture is not None and scan.coloured:
        with stopwatch(timings, "texture"):
            mean = template.subdivide(model.mean[template.vertices])
            view = front_view(scan, placement, template, V, mean)
            eyes = eyes_of(template, view, weights)
            weights = weights | gaze_weights(*eyes.gaze)
            colours = coloured(scan, placement, template, view, texture, weights, eyes, backend)
    with stopwatch(timings, "blendshapes"):
        shaped, neutral, shapes = driven(template, V, weights, head=True)
        fine = template.fine
        mesh = FaceMesh(
            shaped,
            fine.faces,
            uv=template.file_uv,
            uv_faces=fine.uv_faces,
            texture=None if colours is None else colours.texture,
            colors=None if colours is None else colours.colors,
            regions=fine.regions,
            seen=np.clip(seen, 0.0, 1.0),
            blendshapes=shapes,
        )
    return Rigged(
        mesh,
        replace(mesh, vertices=neutral),
        distances.mean_mm,
        distances.p95_mm,
        distances.coverage,
        placement.matrix(scan),
        unit[0],
        unit[1],
        shaped[model.landmarks68],
        weights,
        fit.identity,
        timings,
    )
