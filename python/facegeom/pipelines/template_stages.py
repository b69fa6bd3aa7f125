"""The last steps of every pipeline that ends with the template: head, fine detail, colours, neutral face.

The stages are completed (the registered face completed to a whole head, if requested), outlined (skull and ears of the
head moved to their outline in the photo), hair (the scalp raised to the outline of the hair, if requested) and detailed
(the skin subdivided, with the fine detail of the photo).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.blendshapes import (
    GAZE_DEGREES,
    Displacements,
    arkit_weights,
    gaze_weights,
    template_blendshapes,
)
from facegeom.face_model.fitting import possible_expression
from facegeom.face_model.head_completion import complete_head
from facegeom.face_model.lids import closing_blinks, covering_lids
from facegeom.face_model.lip_contact import lips_apart
from facegeom.face_model.lip_gap import slit_closing
from facegeom.face_model.neutral_lips import closed_lips
from facegeom.face_model.point_fit import Fit
from facegeom.face_model.rolled_lips import closing_rolls
from facegeom.face_model.teeth import childhood, milk_teeth
from facegeom.face_model.template import Template, Topology, load_template
from facegeom.images.crop import warp_image
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.pipelines.interface import PipelineOptions, Prediction, Stages
from facegeom.texture.appearance import View, mouth_light
from facegeom.texture.continuation import vertex_colors
from facegeom.texture.eye_photo import eye_pictures, painted_pictures
from facegeom.texture.eyes import Eyes, eye_colors, look, unseen_eyes
from facegeom.texture.file_texture import file_texture
from facegeom.texture.fitted_outline import fitted_outline
from facegeom.texture.hair_shape import hair_shape
from facegeom.texture.head_classes import HeadClasses, head_classes, is_grey, without_colour
from facegeom.texture.light import without_light
from facegeom.texture.painting import paint
from facegeom.texture.relief import relief_weight
from facegeom.texture.several_photos import PhotoOfHead
from facegeom.texture.teeth import teeth_picture
from facegeom.texture.tongue import with_tongue

OTHERS_SIZE = 512
"""Side length in texels of the atlas in which several photos are joined if only colours of vertices are wanted."""


@dataclass(frozen=True)
class DetailOptions:
    """Options of the relief from the high-pass filtered intensity of the photo (pix2vertex, supplement B.2)."""

    time_mm2: float = 6.0  # diffusion time in mm^2 of the low-pass; structures below sqrt(2 x 6) = 3.5 mm remain
    gain: float = 80.0  # mm per unit of intensity; a wrinkle 4 mm wide and darker by 0.05 becomes 0.2 mm deep
    limit: float = 0.5  # maximum displacement in mm


def fitted_vertices(model: FaceModel, fit: Fit) -> FloatArray:
    """Return the vertices (n, 3), mm, of the fitted face model, the initial shape of the template.

    The expression is limited by `possible_expression`, and lips that are almost closed are closed.
    """
    V = model.vertices(fit.identity, possible_expression(model, fit.expression))
    face = load_template()
    V[face.vertices] = face.follow(V[face.vertices], face.shut_lips(V[: face.coarse.skin_count]))
    return V


def finish_template(
    photo: ByteArray,
    prediction: Prediction,
    stages: Stages,
    fitted: FloatArray,
    registered: FloatArray,
    options: PipelineOptions,
    others: Sequence[tuple[ByteArray, Prediction]] = (),
) -> Stages:
    """Add the last steps to the stages of a registered template, and its neutral face.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    prediction : Prediction
    stages : Stages of the previous steps; the object is changed and returned
    fitted : (n, 3) float array, mm, result of `fitted_vertices`
    registered : (t, 3) float array, mm, the vertices of `load_template()`
    options : PipelineOptions
    others : other photos of the same person with their predictions, which only the colours use
    """
    with ThreadPoolExecutor(1) as beside:  # a second thread does what the next step does not need
        template, model = load_template(), load_face_model()
        expression = possible_expression(model, prediction.fit.expression)
        seen_photo = photo if prediction.clean is None else prediction.clean  # for shapes; colours are of the photo
        seeing = beside.submit(
            head_classes,
            seen_photo,
            prediction.camera,
            backend=options.backend,
            eyewear=options.eyewear,
            wide=options.hair,
        )
        registered = registered + lips_apart(registered)
        if options.head:
            with stages.step("completed"):
                seen = View(photo, prediction.maps, prediction.camera, registered, template.coarse).seen
                skin = template.coarse.skin_count
                template = load_template(head=True)
                registered = complete_head(model, template, fitted, registered[:skin], seen[:skin])
                stages.meshes["completed"] = bare(template.coarse, registered)
        hair, size = None, (photo.shape[1], photo.shape[0])
        if options.head:
            with stages.step("outlined"):
                registered = fitted_outline(template, registered, prediction.camera, seeing.result(), size)
                stages.meshes["outlined"] = bare(template.coarse, registered)
        if options.hair:
            with stages.step("hair"):
                hair = hair_shape(template, registered, prediction.camera, seeing.result(), size)
                if hair is not None:
                    registered = registered + hair.displacement
                    stages.raised = template.subdivide(hair.displacement)
                stages.meshes["hair"] = bare(template.coarse, registered)
        with stages.step("detailed"):
            V = template.subdivide(registered)
            view, classes = View(seen_photo, prediction.maps, prediction.camera, V, template.fine), seeing.result()
            hidden = options.eyewear == "remove" and classes.hidden_eyes(view.place[_eyeballs(template)])
            looking = beside.submit(_eyes, template, view, hidden=hidden)
            child = _childhood(template, V, expression) if options.head else 0.0
            if child:
                V = V + child * milk_teeth(template)
            shaping = beside.submit(_driven_by, looking, expression, template, V, view, options.head)
            # The colours need much memory, which is not shared between threads: they are made in this one.
            grown = None if hair is None else hair.grown
            beyond = [_of_other(template, V, expression, *other, options) for other in others]
            coloured = view
            if seen_photo is not photo:
                coloured = View(photo, prediction.maps, prediction.camera, V, template.fine)
            colors, texture = painted(
                template, coloured, looking, classes, options, grown, beyond, painted_eyes=hidden, child=child
            )
            stages.weights, V, neutral, shapes = shaping.result()
            fine = template.fine
            mesh = FaceMesh(
                V,
                fine.faces,
                uv=template.file_uv,
                uv_faces=fine.uv_faces,
                texture=texture,
                colors=colors,
                regions=fine.regions,
                seen=view.seen,
                blendshapes=shapes if options.head else {},
            )
            stages.meshes["detailed"] = mesh
        stages.neutral = replace(mesh, vertices=neutral)
        return stages


def _of_other(
    template: Template,
    V: FloatArray,
    expression: FloatArray,
    photo: ByteArray,
    prediction: Prediction,
    options: PipelineOptions,
) -> PhotoOfHead:
    """Return another photo of the person, whose head has the fine vertices V (n, 3) with an expression (k,)."""
    shapes = template_blendshapes(template)
    theirs = arkit_weights(possible_expression(load_face_model(), prediction.fit.expression))
    moved = V.copy()
    for name, weight in arkit_weights(expression).items():
        if theirs[name] != weight:
            moved += (theirs[name] - weight) * shapes[name]
    classes = head_classes(photo, prediction.camera, backend=options.backend, eyewear=options.eyewear)
    return PhotoOfHead(View(photo, prediction.maps, prediction.camera, moved, template.fine), classes)


def _childhood(template: Template, V: FloatArray, expression: FloatArray) -> float:
    """Return the childhood of a face with the fine vertices V (n, 3) and an expression (k,)."""
    shapes, rows = template_blendshapes(template), load_face_model().landmarks68_multipie
    return childhood(V[rows] - sum(weight * shapes[name][rows] for name, weight in arkit_weights(expression).items()))


@one_thread()
def _eyes(template: Template, view: View, *, hidden: bool) -> Eyes:
    """Return what the photo shows of the eyes, or usual eyes that look ahead if they are hidden."""
    return unseen_eyes() if hidden else look(template, view)


@one_thread()
def _driven_by(
    looking: Future[Eyes], expression: FloatArray, template: Template, V: FloatArray, view: View, head: bool
) -> tuple[dict[str, float], FloatArray, FloatArray, Displacements]:
    """Return the blendshapes' weights, by the fitted expression (k,) and the eyes, and the results of `driven`."""
    weights = arkit_weights(expression) | gaze_weights(*looking.result().gaze)
    return weights, *driven(template, with_detail(template, V, view), weights, head)


def driven(
    template: Template, V: FloatArray, weights: Mapping[str, float], head: bool
) -> tuple[FloatArray, FloatArray, Displacements]:
    """Add the gaze to the fine vertices (n, 3), mm, and correct the blendshapes of a head.

    Returns
    -------
    (n, 3) float array, mm, the photographed face; (n, 3) float array, mm, the neutral face; and the blendshapes
    """
    V = with_gaze(template, V, weights)
    shapes = template_blendshapes(template)
    neutral = without_expression(V, shapes, weights)
    if not head:
        return V, neutral, shapes
    closed, lips = closed_lips(template, neutral, shapes, weights)
    shapes = {**shapes, **lips, **closing_blinks(template, closed, ())}
    neutral = without_expression(V, shapes, weights)
    slit = slit_closing(template, neutral)
    V, neutral = V + slit, neutral + slit
    # The photographed face takes what lids and rolled lips move, so that the neutral face does not change.
    covering = {**closing_blinks(template, neutral), **covering_lids(template, neutral)}
    covering |= closing_rolls(template, neutral, shapes)
    V = V + sum((weights[name] * (shape - shapes[name]) for name, shape in covering.items()), np.zeros(3))
    shapes = {**shapes, **covering}
    return V, without_expression(V, shapes, weights), shapes


def with_detail(template: Template, V: FloatArray, view: View, options: DetailOptions = DetailOptions()) -> FloatArray:
    """Return the fine vertices (n, 3), mm, with the skin displaced by the high-pass filtered intensity of the photo."""
    fine = template.fine
    skin = geometry.detail_displacement(
        V[: fine.skin_count],
        fine.skin_faces,
        view.gray[: fine.skin_count],
        low_pass="heat",
        time_mm2=options.time_mm2,
        gain=options.gain,
        max_step=options.limit,
        weight=relief_weight(template, view),
    )
    return np.concatenate([skin, V[fine.skin_count :]])


def with_gaze(template: Template, V: FloatArray, weights: Mapping[str, float]) -> FloatArray:
    """Return the fine vertices (n, 3), mm, with the eyeballs turned by the weights of the eyeLook shapes."""
    shapes, V = template_blendshapes(template), V.copy()
    for side in ("left", "right"):
        ball = template.fine.regions[f"eyeball_{side}"]
        for name in GAZE_DEGREES:
            shape = f"{name}{side.capitalize()}"
            V[ball] += weights[shape] * shapes[shape][ball]
    return V


def _eyeballs(template: Template) -> BoolArray:
    """Return the fine vertices of both eyeballs, (n,)."""
    regions = template.fine.regions
    return np.asarray(regions["eyeball_left"] | regions["eyeball_right"], np.bool_)


@one_thread()
def painted(
    template: Template,
    view: View,
    looking: Future[Eyes],
    classes: HeadClasses,
    options: PipelineOptions,
    grown: BoolArray | None = None,
    others: Sequence[PhotoOfHead] = (),
    *,
    painted_eyes: bool = False,
    child: float = 0.0,
) -> tuple[ByteArray, ByteArray | None]:
    """Return the colours (n, 3) of the fine vertices, and the texture (S, S, 3), or None if `options.texture` is None.

    `looking` gives the eyes; `grown` (n,) are the coarse vertices that are hair as shape; `others` are other photos
    of the person. With `painted_eyes`, no pixels of the photo are on the eyes. `child` is the share of
    milk teeth.
    """
    fine = template.fine
    if options.albedo:
        photo = without_light(template, view, classes)
        view = View(photo, view.maps, view.camera, view.vertices, view.topology)
        classes = replace(classes, image=warp_image(photo, classes.affine, len(classes.image)))
    if options.texture is None and others:
        skin = paint(template, view, classes, OTHERS_SIZE, backend=options.backend, grown=grown, others=others)
        colors, texture = skin.colors, None
    elif options.texture is None:
        colors, texture = np.rint(vertex_colors(template, view, classes, grown)).astype(np.uint8), None
    else:
        skin = paint(template, view, classes, options.texture, backend=options.backend, grown=grown, others=others)
        eyes, size = looking.result(), len(skin.texture)
        pictures = painted_pictures(eyes, size) if painted_eyes else eye_pictures(template, view, eyes, size)
        teeth = teeth_picture(template, size, mouth_light(template, view), child)
        colors, texture = skin.colors.copy(), file_texture(with_tongue(template, skin.texture), pictures, teeth)
    for side, shades in eye_colors(template, looking.result()).items():
        colors[fine.regions[f"eyeball_{side}"]] = shades
    if is_grey(classes.image):
        colors, texture = without_colour(colors), None if texture is None else without_colour(texture)
    return colors, texture


def without_expression(V: FloatArray, shapes: Displacements, weights: Mapping[str, float]) -> FloatArray:
    """Return the neutral vertices of a detailed mesh: without ARKit's blendshapes times their weights in the photo.

    Parts of the fitted expression that ARKit has no blendshape for, such as one-sided inner brows, remain.

    Parameters
    ----------
    V : (n, 3) float array, mm, the fine vertices of the template
    shapes : name -> (n, 3) float32 array, displacements at weight 1, mm
    weights : weight of each blendshape

    Returns
    -------
    (n, 3) float array, mm
    """
    V = V.copy()
    for name, weight in weights.items():
        if weight:
            V -= weight * shapes[name]
    return V


def bare(topology: Topology, V: FloatArray) -> FaceMesh:
    """Return the mesh of a topology with vertices `V` (n, 3), mm, and no colours."""
    return FaceMesh(V, topology.faces, uv=topology.uv, uv_faces=topology.uv_faces, regions=topology.regions)
