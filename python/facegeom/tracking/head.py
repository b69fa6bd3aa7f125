"""The head that a performance moves: neutral, with blendshapes, plain or with the texture of the best frames."""

from __future__ import annotations

from collections.abc import Sequence

from facegeom._internal.arrays import FloatArray
from facegeom._internal.threads import one_thread
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.blendshapes import template_blendshapes
from facegeom.face_model.lids import closing_blinks, covering_lids
from facegeom.face_model.rolled_lips import closing_rolls
from facegeom.face_model.template import load_template
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.person.fitting import fit_person
from facegeom.pipelines import pix2vertex
from facegeom.pipelines.interface import PipelineOptions
from facegeom.pipelines.map_prediction import predict_maps
from facegeom.tracking.tracker import GoodFrame


@one_thread()
def plain_head(identity: FloatArray) -> FaceMesh:
    """Return the neutral head with identity coefficients (k,), with blendshapes and without colours."""
    template = load_template(head=True)
    V = template.subdivide(load_face_model().vertices(identity)[template.vertices])
    shapes = dict(template_blendshapes(template))
    shapes |= closing_blinks(template, V) | covering_lids(template, V)
    shapes |= closing_rolls(template, V, shapes)
    fine = template.fine
    return FaceMesh(
        V, fine.faces, uv=template.file_uv, uv_faces=fine.uv_faces, regions=fine.regions, blendshapes=shapes
    )


@one_thread()
def textured_head(
    frames: Sequence[GoodFrame],
    identity: FloatArray,
    texture: int,
    device: str = "cpu",
    backend: str = DEFAULT_BACKEND,
) -> FaceMesh:
    """Return the neutral head with identity coefficients (k,), with the colours of frames, best first.

    The detail, the hair and the light are those of the first frame, as in `facegeom.reconstruct_person`. If no frame
    shows enough of the face, the head has no colours.
    """
    images, predictions = [], []
    for frame in frames:
        if frame.image is None:
            continue
        try:
            predictions.append(predict_maps(frame.image, frame.box, device, backend=backend))
            images.append(frame.image)
        except NoFaceFound:
            continue
    if not images:
        return plain_head(identity)
    fitted = fit_person(images, predictions, device, backend, identity=identity)
    options = PipelineOptions(head=True, texture=texture, backend=backend, hair=True)
    others = list(zip(images[1:], fitted[1:], strict=True))
    stages = pix2vertex.run(images[0], fitted[0], options, others)
    assert stages.neutral is not None  # pix2vertex has the face model's topology
    return stages.neutral
