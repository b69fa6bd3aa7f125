"""From maps to the template: pix2vertex's section 4, each step a mesh of its own.

raw: every pixel of the maps. aligned: the template where the face is. registered: the template warped onto the maps.
completed: the whole head behind it, where that is asked for. detailed: its skin subdivided, with the fine detail of the
photo.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom.errors import NoFaceFound
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.blendshapes import arkit_weights, template_blendshapes
from facegeom.face_model.fitting import Fit, possible_expression
from facegeom.face_model.head_completion import complete_head
from facegeom.face_model.template import Template, Topology, load_template
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, invert_affine
from facegeom.images.face_maps import FaceMaps
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.pipelines.facevision import Stages
from facegeom.texture.appearance import View, vertex_colors
from facegeom.texture.painting import paint
from facegeom.texture.relief import relief_weight


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


def warp_template(
    photo: ByteArray,
    maps: FaceMaps,
    camera: Camera,
    fit: Fit,
    *,
    head: bool = False,
    texture: int | None = None,
    options: WarpOptions = WarpOptions(),
) -> Stages:
    """Warp the template onto the face that maps show, step by step.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    maps : FaceMaps
    camera : Camera, face frame -> photo
    fit : Fit, the face model fitted to the maps
    head : complete the whole head
    texture : side of the atlas in pixels, or None for colours only
    options : WarpOptions

    Returns
    -------
    Stages
        raw, aligned, registered, completed (with `head`), detailed; all in the face frame.

    Raises
    ------
    NoFaceFound
        When the maps leave no triangle, or too few to register.
    """
    timings: dict[str, float] = {}
    meshes: dict[str, FaceMesh] = {}
    template = load_template()
    model = load_face_model()
    vertices = fitted_vertices(model, fit)

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
        meshes["aligned"] = bare(template.coarse, aligned)

    with stopwatch(timings, "registered"):
        registered = register_template(template, aligned, target, options)
        meshes["registered"] = bare(template.coarse, registered)

    later = complete_template(photo, maps, camera, vertices, registered, head=head, texture=texture, options=options)
    return Stages({**meshes, **later.meshes}, {**timings, **later.timings})


def complete_template(
    photo: ByteArray,
    maps: FaceMaps,
    camera: Camera,
    vertices: FloatArray,
    registered: FloatArray,
    *,
    head: bool = False,
    texture: int | None = None,
    options: WarpOptions = WarpOptions(),
) -> Stages:
    """Complete a registered template, step by step.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    maps : FaceMaps
    camera : Camera, face frame -> photo
    vertices : (n, 3) float array, mm, the face model fitted to the photo, as `fitted_vertices` returns it
    registered : (t, 3) float array, mm, the vertices of `load_template()`
    head : complete the whole head
    texture : side of the atlas in pixels, or None for colours only
    options : WarpOptions

    Returns
    -------
    Stages
        completed (with `head`), detailed; all in the face frame.
    """
    timings: dict[str, float] = {}
    meshes: dict[str, FaceMesh] = {}
    template = load_template()
    if head:
        with stopwatch(timings, "completed"):
            seen = View(photo, maps, camera, registered, template.coarse).seen
            skin = template.coarse.skin_count
            template = load_template(head=True)
            registered = complete_head(load_face_model(), template, vertices, registered[:skin], seen[:skin])
            meshes["completed"] = bare(template.coarse, registered)

    with stopwatch(timings, "detailed"):
        V = template.subdivide(registered)
        view = View(photo, maps, camera, V, template.fine)
        V = _detailed(template, V, view, options)
        painted = None if texture is None else paint(template, view, texture)
        meshes["detailed"] = FaceMesh(
            V,
            template.fine.faces,
            uv=template.fine.uv,
            uv_faces=template.fine.uv_faces,
            texture=None if painted is None else painted.texture,
            colors=np.rint(vertex_colors(template, view)).astype(np.uint8) if painted is None else painted.colors,
            regions=template.fine.regions,
            seen=view.seen,
            blendshapes=template_blendshapes(template) if head else {},
        )
    return Stages(meshes, timings)


def fitted_vertices(model: FaceModel, fit: Fit) -> FloatArray:
    """Return the face model (n, 3) that the template starts as: as fitted, but for what no face can do, lips shut."""
    V = model.vertices(fit.identity, possible_expression(model, fit.expression))
    face = load_template()
    V[face.vertices] = face.follow(V[face.vertices], face.shut_lips(V[: face.coarse.skin_count]))
    return V


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
    aligned: FloatArray,
    target: geometry.MapsMesh,
    options: WarpOptions = WarpOptions(),
) -> FloatArray:
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
    """Return the neutral face of a detailed mesh that began as the fitted face model.

    Where the mesh has blendshapes, the expression is in their weights.
    """
    model = load_face_model()
    template = load_template(head="scalp" in mesh.regions)
    shift = fitted_vertices(model, fit) - model.vertices(fit.identity)
    weights = arkit_weights(possible_expression(model, fit.expression)) if mesh.blendshapes else {}
    return replace(mesh, vertices=mesh.vertices - template.carry(shift[template.vertices]), weights=weights)


def _detailed(template: Template, V: FloatArray, view: View, options: WarpOptions) -> FloatArray:
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
        weight=relief_weight(template, view),
    )
    return np.concatenate([skin, V[fine.skin_count :]])


def bare(topology: Topology, V: FloatArray) -> FaceMesh:
    """Return the mesh of a topology with nothing but its geometry, (n, 3) float array, mm."""
    return FaceMesh(V, topology.faces, uv=topology.uv, uv_faces=topology.uv_faces, regions=topology.regions)
