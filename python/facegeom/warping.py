"""From maps to the template: pix2vertex's section 4, each step a mesh of its own.

raw: every pixel of the maps. aligned: the template where the face is. registered: the template warped onto the maps.
detailed: its skin subdivided, with the fine detail of the photo.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from facegeom import _check, geometry
from facegeom.appearance import View, bake_texture, vertex_colors
from facegeom.camera import Camera
from facegeom.crop import apply_affine, invert_affine
from facegeom.errors import NoFaceFound
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.fitting import Fit, possible_expression
from facegeom.maps import FaceMaps
from facegeom.mesh import FaceMesh
from facegeom.meshing import Stages
from facegeom.stopwatch import stopwatch
from facegeom.template import Template, Topology, load_template


@dataclass(frozen=True)
class WarpOptions:
    """How the template is warped onto maps.

    The paper aligns the mean template by an affine map (RANSAC) and lets the registration do the rest. Here the
    template starts as the face model fitted to the maps: on 48 synthetic faces of exact truth, seen from all sides,
    that leaves 4.8 mm of error where the face is hidden instead of 7.6, and normals wrong by 9.4 degrees instead of
    10.9 where it is seen. What a network says is wrong over large patches, not from pixel to pixel, so the
    registration's own estimate of the noise is too trusting: hence the floor and the stiffness.
    """

    max_edge_mm: float = 10.0  # triangles of pixels with longer edges span a jump of depth
    stiffness: float = 1000.0  # of the membrane; 10 is right for maps without such errors
    noise_floor: float = 0.6  # as a share of the template's mean edge; likewise 0.05
    detail_time_mm2: float = 6.0  # detail is finer than sqrt(2 x 6) = 3.5 mm, two or three pixels of most photos
    detail_gain: float = 80.0  # mm: chosen on old faces; a wrinkle 4 mm wide and darker by 0.05 gets 0.2 mm deep
    detail_limit: float = 0.5  # mm


NOT_RELIEF_MM = {"brow": 5.0, "eyelids": 2.0, "lips": 2.0, "border": 4.0}
"""Where fine contrast is colour (hair, lashes, the red of the lips), and over which length detail comes back."""


NEAR_MM2 = 6.0  # time of the diffusion that tells what is fine
WIDE_MM2 = 400.0  # and of the one that tells the skin's own brightness there
DARK = (0.65, 0.85)  # brightness over the skin's around it: hair, and none
ROUGH = (0.08, 0.14)  # root mean square contrast, of wrinkles at most, and of hair
BEARD = 0.6  # share by which these limits are lower where beards grow
BEARD_TOP_MM = (-50.0, -62.0)  # height on the mean face from which they do, and fully


def warp_template(
    photo: _check.ByteArray,
    maps: FaceMaps,
    camera: Camera,
    vertices: _check.FloatArray,
    *,
    texture: int | None = None,
    options: WarpOptions = WarpOptions(),
) -> Stages:
    """Warp the template onto the face that maps show, step by step.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    maps : FaceMaps
    camera : Camera, face frame -> photo
    vertices : (n, 3) float array, mm in the face frame, the face model fitted to the maps
    texture : side of the atlas in pixels, or None for colours only
    options : WarpOptions

    Returns
    -------
    Stages
        raw, aligned, registered, detailed; all in the face frame.

    Raises
    ------
    NoFaceFound
        When the maps leave no triangle, or too few to register.
    """
    timings: dict[str, float] = {}
    meshes: dict[str, FaceMesh] = {}
    template = load_template()

    with stopwatch(timings, "raw"):
        target = target_mesh(maps, camera, options.max_edge_mm)
        if not len(target.F):
            raise NoFaceFound("the mask of the face leaves no triangle")
        column, row = target.pixel.T
        meshes["raw"] = FaceMesh(
            target.V, target.F, colors=maps.image[row, column], regions={"face": np.ones(len(target.V), bool)}
        )

    with stopwatch(timings, "aligned"):
        aligned = vertices[template.vertices]
        meshes["aligned"] = _bare(template.coarse, aligned)

    with stopwatch(timings, "registered"):
        registered = register_template(template, aligned, target, options)
        meshes["registered"] = _bare(template.coarse, registered)

    with stopwatch(timings, "detailed"):
        V = template.subdivide(registered)
        view = View(photo, maps, camera, V, template.fine)
        V = _detailed(template, V, view, options)
        colors = vertex_colors(template, view)
        meshes["detailed"] = FaceMesh(
            V,
            template.fine.faces,
            uv=template.fine.uv,
            uv_faces=template.fine.uv_faces,
            texture=None if texture is None else bake_texture(template.fine, view, colors, texture),
            colors=np.rint(colors).astype(np.uint8),
            regions=template.fine.regions,
            seen=view.seen,
        )
    return Stages(meshes, timings)


def fitted_vertices(model: FaceModel, fit: Fit) -> _check.FloatArray:
    """Return the face model (n, 3) that the template starts as: as fitted, but for what no face can do."""
    return model.vertices(fit.identity, possible_expression(model, fit.expression))


def target_mesh(maps: FaceMaps, camera: Camera, max_edge: float) -> geometry.MapsMesh:
    """Return every pixel of the maps as a mesh in the face frame, with its correspondence as embedding."""
    rows, columns = np.indices(maps.mask.shape)
    pixels = apply_affine(invert_affine(maps.affine), np.column_stack([columns.ravel(), rows.ravel()]).astype(float))
    across = (pixels - camera.translation) / (camera.scale, -camera.scale)
    xyz = np.dstack([across.reshape(*maps.mask.shape, 2), maps.depth])
    mesh = geometry.maps_to_mesh(xyz, maps.mask, maps.correspondence, max_edge)
    return mesh._replace(V=mesh.V @ camera.rotation)


def register_template(
    template: Template,
    aligned: _check.FloatArray,
    target: geometry.MapsMesh,
    options: WarpOptions = WarpOptions(),
) -> _check.FloatArray:
    """Return the template's vertices (n, 3) warped from where they are `aligned` (n, 3) onto the maps.

    Raises
    ------
    NoFaceFound
        When too little of the face is in the maps.
    """
    skin = template.coarse.skin_count
    registration = geometry.RegistrationOptions(
        alignment="none", stiffness=options.stiffness, noise_floor=options.noise_floor
    )
    try:
        found = geometry.register_nonrigid(
            aligned[:skin], template.coarse.skin_faces, template.embedding, target.V, target.F, target.E, registration
        )
    except ValueError as error:  # the maps were checked: it is what they show that does not do
        raise NoFaceFound(f"the maps do not show enough of the face: {error}") from error
    return template.follow(aligned, template.join_lips(aligned[:skin], found.vertices))


def without_expression(mesh: FaceMesh, fit: Fit) -> FaceMesh:
    """Return the neutral face of a detailed mesh that began as the fitted face model."""
    model, template = load_face_model(), load_template()
    shift = fitted_vertices(model, fit) - model.vertices(fit.identity)
    return replace(mesh, vertices=mesh.vertices - template.carry(shift[template.vertices]))


def _detailed(template: Template, V: _check.FloatArray, view: View, options: WarpOptions) -> _check.FloatArray:
    """Return the vertices with the photo's fine detail on the skin."""
    fine = template.fine
    skin = geometry.detail_displacement(
        V[: fine.skin_count],
        fine.skin_faces,
        view.gray[: fine.skin_count],
        low_pass="heat",
        time_mm2=options.detail_time_mm2,
        gain=options.detail_gain,
        max_step=options.detail_limit,
        weight=detail_weight(template, view),
    )
    return np.concatenate([skin, V[fine.skin_count :]])


def detail_weight(template: Template, view: View) -> _check.FloatArray:
    """Return how far the photo's fine contrast is relief, for each vertex of the fine skin, in [0, 1].

    Hair is darker than the skin around it and its contrast is stronger than that of wrinkles.
    """
    count = template.fine.skin_count
    V, F = view.vertices[:count], template.fine.skin_faces
    seen = view.seen[:count] * skin_weight()
    known = (view.seen[:count] > 0).astype(np.float64)
    gray = view.gray[:count]
    near, wide = (_diffused(V, F, np.column_stack([gray]), known, time)[:, 0] for time in (NEAR_MM2, WIDE_MM2))
    contrast = np.sqrt(_diffused(V, F, ((gray - near) ** 2)[:, None], known, NEAR_MM2)[:, 0])
    bright = np.clip((near / np.maximum(wide, 1e-3) - DARK[0]) / (DARK[1] - DARK[0]), 0.0, 1.0)
    height = template.subdivide(load_face_model().mean[template.vertices])[:count, 1]
    beard = np.clip((height - BEARD_TOP_MM[0]) / (BEARD_TOP_MM[1] - BEARD_TOP_MM[0]), 0.0, 1.0)
    rough = contrast / np.maximum(wide, 1e-3) / (1.0 - BEARD * beard)
    calm = np.clip((ROUGH[1] - rough) / (ROUGH[1] - ROUGH[0]), 0.0, 1.0)
    return np.asarray(seen * bright * calm)


def _diffused(
    V: _check.FloatArray, F: _check.IntArray, values: _check.FloatArray, known: _check.FloatArray, time: float
) -> _check.FloatArray:
    """Return values (n, k) diffused over the surface, as if those that are not known were not there."""
    heat = geometry.heat_smooth(V, F, np.column_stack([values * known[:, None], known]), time, tolerance=1e-3)
    share = heat[:, -1:]
    return np.asarray(np.maximum(heat[:, :-1], 0.0) / np.maximum(share, 1e-3) * (share > 1e-3))


@lru_cache(maxsize=1)
def skin_weight() -> _check.FloatArray:
    """Return the part of `detail_weight` that is the same for all: none at lids, lips, brows and borders."""
    template = load_template()
    fine = template.fine
    count = fine.skin_count
    V = template.subdivide(load_face_model().mean[template.vertices])[:count]
    edges = np.sort(fine.skin_faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    border = np.zeros(count, bool)
    border[unique[uses == 1]] = True
    weight = np.ones(count)
    for name, length in NOT_RELIEF_MM.items():
        members = border if name == "border" else _region(fine, name)
        near = geometry.heat_smooth(V, fine.skin_faces, members.astype(np.float64), length**2)
        weight *= np.clip(1.0 - 4.0 * near, 0.0, 1.0) * ~members
    return weight


def _region(topology: Topology, start: str) -> _check.BoolArray:
    """Return which vertices of the skin are in a region whose name starts so."""
    members = [mask for name, mask in topology.regions.items() if name.startswith(start)]
    return np.asarray(np.any(members, axis=0)[: topology.skin_count])


def _bare(topology: Topology, V: _check.FloatArray) -> FaceMesh:
    return FaceMesh(V, topology.faces, uv=topology.uv, uv_faces=topology.uv_faces, regions=topology.regions)
