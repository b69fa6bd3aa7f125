"""`facegeom evaluate blendshapes`: pictures of every blendshape on the mean face and on a head from a photo, and
close-ups of eyes, mouth and whole face of the heads of several photos.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.face_model.blendshapes import template_blendshapes
from facegeom.face_model.template import load_template
from facegeom.images.image_files import save_image
from facegeom.measures.report import sheet, show
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.render import Frame, render_mesh, turn

SHAPES_PER_ROW = 3
"""Number of blendshapes in one row of the sheet."""

TURNED = (-35.0, 0.0)  # yaw and pitch of the second picture of each blendshape, degrees
EYES = Frame((0.0, 0.0, 0.0), 110.0)  # region of a close-up of the eyes

Weights: TypeAlias = dict[str, float]


def _both(name: str, weight: float = 1.0) -> Weights:
    return {f"{name}Left": weight, f"{name}Right": weight}


def _gaze(to_left: float) -> Weights:
    """Return the weights of a look to the subject's left (1) or right (-1)."""
    out, inward = ("Left", "Right") if to_left > 0 else ("Right", "Left")
    return {f"eyeLookOut{out}": 1.0, f"eyeLookIn{inward}": 1.0}


class CloseUp(NamedTuple):
    """A region of the face and the expressions that show its faults: caption -> weights; None is the photo's own."""

    frame: Frame
    poses: dict[str, Weights | None]


CLOSE_UPS = {
    "eyes": CloseUp(
        Frame((0.0, 0.0, 0.0), 90.0),
        {
            "photo": None, "neutral": {}, "eyeLookDown": _both("eyeLookDown"), "eyeBlink 0.5": _both("eyeBlink", 0.5),
            "eyeBlink": _both("eyeBlink"), "eyeLookUp": _both("eyeLookUp"), "look left": _gaze(1.0),
            "look right": _gaze(-1.0), "eyeWide": _both("eyeWide"), "eyeSquint": _both("eyeSquint"),
        },
    ),
    "mouth": CloseUp(
        Frame((0.0, -72.0, 0.0), 90.0),
        {
            "photo": None, "neutral": {}, "jawOpen": {"jawOpen": 1.0},
            "jawOpen + mouthClose": {"jawOpen": 1.0, "mouthClose": 1.0}, "mouthPucker": {"mouthPucker": 1.0},
            "mouthFunnel": {"mouthFunnel": 1.0}, "mouthUpperUp": _both("mouthUpperUp"),
            "mouthLowerDown": _both("mouthLowerDown"), "mouthShrugUpper": {"mouthShrugUpper": 1.0},
            "noseSneer": _both("noseSneer"), "cheekPuff": {"cheekPuff": 1.0}, "mouthPress": _both("mouthPress"),
            "tongueOut": {"jawOpen": 0.6, "tongueOut": 1.0},
        },
    ),
    "face": CloseUp(
        Frame((0.0, -30.0, 0.0), 230.0),
        {
            "photo": None, "neutral": {}, "eyeBlink": _both("eyeBlink"), "mouthSmile": _both("mouthSmile"),
            "jawOpen": {"jawOpen": 1.0}, "browInnerUp": {"browInnerUp": 1.0}, "mouthPucker": {"mouthPucker": 1.0},
            "cheekPuff": {"cheekPuff": 1.0},
        },
    ),
}  # fmt: skip
"""Name of a sheet -> what it shows."""

SHOWN_WITH = {"mouthClose": "jawOpen"}
"""Corrective blendshape -> the blendshape that it corrects; the sheet applies both together."""

SKIN, INSIDE, TEETH, GUMS = (205, 172, 152), (60, 22, 22), (238, 232, 215), (125, 55, 55)
SCLERA, IRIS, PUPIL = (240, 240, 240), (70, 100, 140), (15, 15, 15)
IRIS_DEGREES, PUPIL_DEGREES = 22.0, 9.0  # half angles that iris and pupil subtend at the eyeball centre


def blendshape_sheet(*meshes: FaceMesh, size: int = 150) -> ByteArray:
    """Draw every blendshape at weight 1 on each mesh, from the front and from the side.

    Parameters
    ----------
    meshes : FaceMesh, at least one; each must have the blendshapes of the first mesh; current blendshape weights are
        ignored
    size : side length of each square picture, pixels

    Returns
    -------
    (h, w, 3) uint8 array
        First all meshes without blendshapes, then each blendshape on all meshes, side by side. Blendshapes of the eyes
        are shown as close-ups; `mouthClose` is shown together with `jawOpen`.

    Raises
    ------
    ValueError
        If there is no mesh, or if a mesh lacks a blendshape of the first mesh.
    """
    if not meshes:
        raise ValueError("meshes must contain at least one mesh, got none")
    names = list(meshes[0].blendshapes)
    for number, mesh in enumerate(meshes):
        missing = [name for name in names if name not in mesh.blendshapes]
        if missing:
            raise ValueError(f"meshes[{number}] must have the blendshapes of the first, got none called {missing[0]}")
    tiles, captions = [], []
    for name in ["", *names]:
        applied = [shape for shape in (name, SHOWN_WITH.get(name, "")) if shape]
        for mesh in meshes:
            frame = EYES if name.startswith("eye") else Frame.around(mesh)
            posed = replace(mesh, vertices=mesh.vertices + sum(mesh.blendshapes[shape] for shape in applied))
            for yaw, pitch in ((0.0, 0.0), TURNED):
                tiles.append(render_mesh(posed, turn(yaw, pitch), size=size, frame=frame, colors=True))
        captions += [" + ".join(applied) or "no blendshape", *[""] * (2 * len(meshes) - 1)]
    return sheet(tiles, SHAPES_PER_ROW * 2 * len(meshes), size, captions)


def close_up_sheet(heads: Sequence[FaceMesh], names: Sequence[str], close_up: CloseUp, size: int = 150) -> ByteArray:
    """Draw a region of heads under some expressions, one head a row.

    Parameters
    ----------
    heads : FaceMeshes of neutral heads with blendshapes; their weights are the expression of the photo
    names : a caption for each head
    close_up : CloseUp
    size : side length of each square picture, pixels

    Returns
    -------
    (h, w, 3) uint8 array

    Raises
    ------
    ValueError
        If there is no head.
    """
    if not heads:
        raise ValueError("heads must contain at least one mesh, got none")
    tiles: list[ByteArray] = []
    captions: list[str] = []
    for head, name in zip(heads, names, strict=True):
        for title, weights in close_up.poses.items():
            chosen = head.weights if weights is None else weights
            moved = head.vertices + sum(weight * head.blendshapes[shape] for shape, weight in chosen.items())
            posed = replace(head, vertices=moved)
            tiles.append(render_mesh(posed, turn(0.0), size=size, frame=close_up.frame, colors=True))
            captions.append(title if captions and title != "photo" else name)
    return sheet(tiles, len(close_up.poses), size, captions)


def mean_face() -> FaceMesh:
    """Return the mean face of the template with all blendshapes; skin, mouth, teeth and eyes have different colours."""
    model, template = load_face_model(), load_template()
    V = template.subdivide(model.mean[template.vertices])
    colors = np.tile(np.array(SKIN, np.uint8), (len(V), 1))
    regions = template.fine.regions
    for name, color in (
        ("mouth_interior", INSIDE),
        ("eye_sockets", INSIDE),
        ("teeth", TEETH),
        ("gums_and_tongue", GUMS),
    ):
        colors[regions[name]] = color
    for side in ("eyeball_left", "eyeball_right"):
        ring = np.searchsorted([PUPIL_DEGREES, IRIS_DEGREES], _off_axis(V[regions[side]]))
        colors[regions[side]] = np.array([PUPIL, IRIS, SCLERA], np.uint8)[ring]
    shapes = template_blendshapes(template)
    return FaceMesh(V, template.fine.faces, colors=colors, regions=regions, blendshapes=shapes)


def _off_axis(ball: FloatArray) -> FloatArray:
    """Return the angles (k,), degrees, between the z axis and the lines from the eyeball centre to vertices (k, 3)."""
    radius = ball - (ball.min(axis=0) + ball.max(axis=0)) / 2
    return np.asarray(np.degrees(np.arccos(radius[:, 2] / np.linalg.norm(radius, axis=1))))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate blendshapes`."""
    parser.add_argument("photos", metavar="PHOTO", nargs="+", type=Path, help="photo of a face")
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, default=150, help="side length of each square picture in pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--out", metavar="FILE", type=Path, default=Path("out/blendshapes.png"),
        help="picture file of all blendshapes (default: %(default)s); the close-ups are written beside it, "
        "with .eyes, .mouth and .face before the suffix",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Draw the blendshapes on the mean face and on the first photo, and the close-ups; return the exit code."""
    from facegeom.reconstruction import reconstruct

    heads = []
    for photo in args.photos:
        rec = reconstruct(photo, device=args.device, head=True, texture=1024)
        if rec.neutral is None:
            raise FacegeomError("the reconstruction contains no mesh with the neutral expression")
        heads.append(replace(rec.neutral, weights=rec.blendshapes))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_image(blendshape_sheet(mean_face(), heads[0], size=args.size), args.out)
    show(str(args.out))
    names = [photo.stem for photo in args.photos]
    for name, close_up in CLOSE_UPS.items():
        path = args.out.with_suffix(f".{name}{args.out.suffix}")
        save_image(close_up_sheet(heads, names, close_up, size=args.size), path)
        show(str(path))
    return 0
