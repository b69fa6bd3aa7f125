"""Coloured meshes from the meshes of a graph network: the four deformations, coarse to fine, and the head.

The stages deformed1 to deformed4 are the semi-sphere after each block of the network. With a head, the stage registered
is the template of the face model, registered to the finest semi-sphere by shape alone; the stages completed and
detailed follow as in pipeline pix2vertex.
"""

from __future__ import annotations

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Topology, load_template
from facegeom.images.sampling import bilinear, nearest_known
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.networks.semi_sphere import mirror_images, semi_sphere
from facegeom.pipelines.interface import PipelineOptions, Stages
from facegeom.pipelines.mesh_prediction import MeshPrediction
from facegeom.pipelines.template_stages import bare, finish_template, fitted_vertices
from facegeom.texture.appearance import View

REGISTRATION = geometry.RegistrationOptions(alignment="none", reach=0.06, reach_decay=0.8, max_iterations=10)
"""Options of the registration. The fitted face model is within a few mm of the mesh, so the initial smoothing length
(`reach`) is short."""

AROUND_MM2 = 200.0
"""Diffusion time in mm^2 of colours on the surface; it corresponds to a length of about 30 mm."""

START_MM = 95.0
"""Half the side length in mm of a crop around a face: the factor from the unit semi-sphere to the size of a face."""


def run(photo: ByteArray, prediction: MeshPrediction, options: PipelineOptions) -> Stages:
    """Return the meshes of a network with the colours of the photo, in the face frame.

    The stages are deformed1 to deformed4, and with a head also registered, completed, outlined and detailed.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    prediction : MeshPrediction
    options : PipelineOptions; only the last mesh gets a texture

    Raises
    ------
    NoFaceFound
        When the template cannot be registered to the mesh.
    """
    stages = Stages()
    sphere = semi_sphere()
    for number, (level, V) in enumerate(zip(sphere.levels, prediction.vertices, strict=True), start=1):
        name = f"deformed{number}"
        uv = sphere.uv[: level.count]  # a refinement keeps the vertices and appends new ones
        with stages.step(name):
            if level is sphere.levels[-1]:
                stages.meshes[name] = _painted(photo, prediction, None if options.head else options.texture)
            else:
                colors = np.rint(bilinear(photo, prediction.camera.project(V))).astype(np.uint8)
                regions = {"face": np.ones(len(V), bool)}
                stages.meshes[name] = FaceMesh(V, level.faces, uv=uv, colors=colors, regions=regions)
    if not options.head:
        return stages

    with stages.step("registered"):
        fitted = fitted_vertices(load_face_model(), prediction.fit)
        registered = register_to_mesh(fitted, prediction.vertices[-1], sphere.levels[-1].faces)
        stages.meshes["registered"] = bare(load_template().coarse, registered)
    return finish_template(photo, prediction, stages, fitted, registered, options)


def register_to_mesh(vertices: FloatArray, V: FloatArray, F: IntArray) -> FloatArray:
    """Register the template to a mesh of the face with another topology; return the template's vertices (t, 3), mm.

    Parameters
    ----------
    vertices : (n, 3) float array, mm, the face model fitted to the mesh
    V : (k, 3) float array, mm
    F : (l, 3) int array

    Raises
    ------
    NoFaceFound
        When too little of the mesh lies near the template.
    """
    template = load_template()
    aligned = vertices[template.vertices]
    skin = template.coarse.skin_count
    try:
        found = geometry.register_nonrigid(aligned[:skin], template.coarse.skin_faces, None, V, F, None, REGISTRATION)
    except ValueError as error:
        raise NoFaceFound(f"the template cannot be registered to the mesh: {error}") from error
    return template.follow(aligned, template.join_lips(aligned[:skin], found.vertices))


def _painted(photo: ByteArray, seen: MeshPrediction, texture: int | None) -> FaceMesh:
    """Return the finest mesh with vertex colours, and with a texture `texture` pixels wide unless that is None.

    A hidden vertex gets the colour of the mirrored vertex, or of visible vertices nearby.
    """
    topology = _topology()
    V = seen.vertices[-1]
    view = View(photo, seen.maps, seen.camera, V, topology)
    colors = _colors(view)
    return FaceMesh(
        V,
        topology.faces,
        uv=topology.uv,
        texture=None if texture is None else _texture(view, colors, texture),
        colors=np.rint(colors).astype(np.uint8),
        regions=topology.regions,
        seen=view.seen,
    )


def _colors(view: View) -> FloatArray:
    """Return vertex colours (n, 3) in [0, 255]: from the photo if the vertex is visible, else as in `_painted`.

    Colours of mirror images are corrected by the difference between both sides where both are visible. The weights
    change smoothly from one source of colour to the other.
    """
    shown, seen = view.colors, view.seen[:, None]
    mirror = mirror_images()[-1]
    other, other_seen = shown[mirror], seen[mirror]
    both, known = seen * other_seen, np.maximum(seen, other_seen)
    F = view.topology.faces

    def around(values: FloatArray, weight: FloatArray) -> FloatArray:
        """Return means (n, 3) of the values (n, 3) around each of the n vertices, weighted by `weight` (n, 1).

        The mean is computed by diffusion on the semi-sphere, because the semi-sphere has no thin triangles.
        """
        weighted = np.hstack([weight * values, weight])
        heat = geometry.heat_smooth(semi_sphere().fine * START_MM, F, weighted, AROUND_MM2, tolerance=1e-3)
        return np.asarray(heat[:, :3] / np.maximum(heat[:, 3:], 1e-3))

    mirrored = other + around(shown - other, both)
    spread = around(np.where(seen >= other_seen, shown, mirrored), known)
    hidden = other_seen * mirrored + (1.0 - other_seen) * spread
    return np.asarray(np.clip(seen * shown + (1.0 - seen) * hidden, 0.0, 255.0))


def _texture(view: View, colors: FloatArray, size: int) -> ByteArray:
    """Return the planar atlas (size, size, 3): pixels of the photo where the mesh is visible, else vertex colours.

    Texels outside the mesh get the colour of the nearest texel inside, so that texture filtering stays correct.
    """
    topology = view.topology
    texel = np.column_stack([topology.uv * (size, -size) + (-0.5, size - 0.5), np.zeros(len(topology.uv))])
    attributes = np.column_stack([view.pixel, view.seen, colors])
    raster = geometry.rasterize(texel, topology.faces, attributes, (size, size))
    covered = raster.triangle >= 0
    pixel, share, rest = np.split(raster.attributes[covered], [2, 3], axis=1)
    texels = np.rint(share * bilinear(view.crop, pixel) + (1.0 - share) * rest).astype(np.uint8)
    picture = np.zeros((size, size, 3), np.uint8)
    picture[covered] = texels
    return np.ascontiguousarray(picture.reshape(-1, 3)[nearest_known(covered)])


@load_once(maxsize=1)
def _topology() -> Topology:
    """Return the topology of the finest semi-sphere."""
    sphere = semi_sphere()
    level = sphere.levels[-1]
    everything = np.arange(level.count)
    return Topology(
        level.faces,
        sphere.uv,
        level.faces,
        level.count,
        len(level.faces),
        everything,
        {"face": np.ones(level.count, bool)},
    )
