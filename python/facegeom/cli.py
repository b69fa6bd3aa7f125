"""The command line: the only place that prints."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import facegeom
from facegeom.errors import FacegeomError

SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130  # argparse leaves with 2 on a usage error

PIPELINE_NAMES = ("pix2vertex", "facevision", "pixel2mesh", "gcn_igan")

# Commands that live in modules of their own, each with add_arguments(parser) and run(args) -> exit code. They are
# imported only when they are called, since they need the packages of facegeom[train].
MODULES = {
    "evaluate": {
        "aflw2000": ("facegeom.evaluation.aflw2000", "68-point error on AFLW2000-3D"),
        "depth": ("facegeom.evaluation.depth", "depth error on renders of a scanned head"),
        "maps": ("facegeom.evaluation.maps", "depth, correspondence and mask error on test identities"),
        "detection": ("facegeom.evaluation.detection", "faces found, and false alarms on faceless pictures"),
        "pipeline": ("facegeom.evaluation.pipeline", "the whole chain: faces found, mesh sizes, time, false alarms"),
        "registration": ("facegeom.evaluation.registration", "what the registered template adds to a network's maps"),
        "meshes": ("facegeom.evaluation.meshes", "distance of every pipeline's mesh from the true surface"),
        "runs": ("facegeom.evaluation.runs", "trainings of networks that make meshes, side by side"),
        "texture": ("facegeom.evaluation.texture", "texture completion, beside mirroring and OpenCV's inpainting"),
        "heads": ("facegeom.evaluation.heads", "pictures of whole heads and of their textures"),
        "contact-sheet": ("facegeom.evaluation.contact_sheet", "one picture of many reconstructions"),
        "blendshapes": ("facegeom.evaluation.blendshape_sheet", "one picture of all blendshapes on a face"),
    },
    "prepare": {
        "landmarks": ("facegeom.training.data.landmarks", "FaceMesh landmarks of photos (needs MediaPipe)"),
        "labels": ("facegeom.training.data.labels", "fits of the face model to photos, from their landmarks"),
        "calibrate": ("facegeom.training.data.landmarks468", "the face model's 468 points, from landmarks"),
        "landmarks68": ("facegeom.training.face_model.landmarks68", "the face model's 68 points, from a benchmark"),
        "synthetic": ("facegeom.training.data.synthetic", "renders of random heads with exact labels"),
        "texture-model": ("facegeom.training.data.texture_model", "a model of face colours, from fitted photos"),
        "texture-statistics": ("facegeom.training.texture.statistics", "how colours are distributed over faces"),
        "textures": (
            "facegeom.training.texture.complete_textures",
            "complete textures and occlusion masks, from fitted photos",
        ),
        "semi-sphere": ("facegeom.training.meshes.semi_sphere_layout", "the mesh that graph networks deform"),
    },
    "train": {
        "facevision": ("facegeom.training.maps.train_facevision", "FaceVision-GAN"),
        "pix2vertex": ("facegeom.training.maps.train_pix2vertex", "pix2vertex's geometry and correspondence networks"),
        "translate": (
            "facegeom.training.maps.train_translate",
            "a translator of renders into photos that keeps the face",
        ),
        "pixel2mesh": (
            "facegeom.training.meshes.train_pixel2mesh",
            "Pixel2Mesh: a photo's features deform a semi-sphere",
        ),
        "gcn_igan": (
            "facegeom.training.meshes.train_gcn_igan",
            "GCN-IGAN: the same from landmarks too, with a discriminator",
        ),
        "texture": ("facegeom.training.texture.train_texture", "the network that completes textures"),
        "face-model": ("facegeom.training.face_model.build_face_model", "the statistical face model"),
        "detector": ("facegeom.training.detector.train_detector", "the cascade of small detection networks"),
    },
}
GROUP_HELP = {
    "evaluate": "measure facegeom on a benchmark",
    "prepare": "prepare training data from photos of your own",
    "train": "train a network or a model",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0 when every input succeeded, 1 when one failed. A usage error leaves with 2."""
    try:
        args = _parser().parse_args(argv)
        if args.verbose:
            logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
        return int(args.run(args))
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except ModuleNotFoundError as error:
        _complain(f"{error}; training and evaluation need: pip install 'facegeom[train]'")
        return FAILURE
    except (FacegeomError, OSError, ValueError) as error:
        _complain(str(error))
        return FAILURE


class _ModuleParser(argparse.ArgumentParser):
    """A parser that asks its module for its arguments when it is used, not before."""

    module: str | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Add the module's arguments on first use, then parse."""
        if self.module is not None:
            command = importlib.import_module(self.module)
            self.module = None
            command.add_arguments(self)
            self.set_defaults(run=command.run)
        return super().parse_known_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facegeom", description="One photograph in, a 3-D face out.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"facegeom {facegeom.__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    one = commands.add_parser("reconstruct", help="photos to meshes", description="Reconstruct the faces in photos.")
    one.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    one.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT",
        help="the mesh (.glb, .obj, .ply, .stl, .html), or a folder that holds one for each photo",
    )  # fmt: skip
    one.add_argument("--pipeline", choices=PIPELINE_NAMES, default=PIPELINE_NAMES[0], help="default: %(default)s")
    one.add_argument("--device", default="cpu", help="where the networks run: cpu, cuda, cuda:1, mps")
    one.add_argument("--head", action="store_true", help="complete the face to a whole head")
    one.add_argument("--texture", type=int, metavar="N", help="an N x N texture instead of vertex colours")
    one.add_argument("--neutral", action="store_true", help="the neutral face instead of the one in the photo")
    one.add_argument(
        "--format", choices=("glb", "obj", "ply", "stl", "html"), default="glb", help="of files in a folder"
    )
    one.add_argument("--preview", action="store_true", help="write a preview sheet (.png) beside each mesh")
    one.add_argument("--json", action="store_true", help="print what was found as one JSON document")
    one.set_defaults(run=_reconstruct, parser=one)

    demo = commands.add_parser("demo", help="reconstruct the photo that comes with facegeom")
    demo.add_argument("-o", "--out", type=Path, default=Path("out"), help="folder (default: %(default)s)")
    demo.add_argument("--device", default="cpu", help="where the networks run")
    demo.add_argument("--texture", type=int, metavar="N", default=1024, help="side of the texture (%(default)s)")
    demo.set_defaults(run=_demo)

    for group, members in MODULES.items():
        parent = commands.add_parser(group, help=GROUP_HELP[group], description=GROUP_HELP[group].capitalize() + ".")
        choices = parent.add_subparsers(metavar="WHAT", required=True, parser_class=_ModuleParser)
        for name, (module, description) in members.items():
            choices.add_parser(name, help=description, description=description[:1].upper() + description[1:] + ".")
            choices.choices[name].module = module

    info = commands.add_parser("info", help="versions, devices and networks")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(run=_info)
    return parser


def _reconstruct(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from facegeom.batch import output_paths, reconstruct_all
    from facegeom.images.image_files import load_image, save_image
    from facegeom.mesh.formats import SAVE_SUFFIXES
    from facegeom.render import preview_sheet

    try:
        targets = output_paths(args.photos, args.out, "." + args.format)
    except ValueError as error:
        args.parser.error(str(error))
    if targets[0].suffix.lower() not in SAVE_SUFFIXES:
        args.parser.error(f"cannot write {targets[0].name!r}: the suffix must be one of {', '.join(SAVE_SUFFIXES)}")
    for folder in {target.parent for target in targets}:
        folder.mkdir(parents=True, exist_ok=True)

    report: list[dict[str, Any]] = []
    outcomes = reconstruct_all(
        args.photos, pipeline=args.pipeline, device=args.device, head=args.head, texture=args.texture
    )
    quiet = True if len(targets) == 1 else None  # None: a bar on a terminal only
    with tqdm(total=len(targets), unit="photo", disable=quiet) as bar:
        for outcome, target in zip(outcomes, targets, strict=True):
            failure = outcome.error
            rec = outcome.reconstruction
            if rec is not None:
                try:
                    rec.save(target, neutral=args.neutral)
                    if args.preview:
                        save_image(preview_sheet(rec, load_image(outcome.photo)), target.with_suffix(".png"))
                except (FacegeomError, OSError) as error:
                    failure = str(error)
            if failure is not None:
                with bar.external_write_mode(file=sys.stderr):
                    _complain(failure if str(outcome.photo) in failure else f"{outcome.photo}: {failure}")
            report.append(_report(outcome.photo, target, rec, failure))
            bar.update()
    if args.json:
        print(json.dumps({"photos": report}, indent=2))
    else:
        for entry in report:
            if entry["error"] is None:
                print(f"{entry['output']}: {entry['vertices']} vertices, {entry['faces']} faces")
    return SUCCESS if all(entry["error"] is None for entry in report) else FAILURE


def _report(photo: Path, target: Path, rec: Any, error: str | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"photo": str(photo), "output": None, "error": error}
    if rec is not None and error is None:
        entry |= {
            "output": str(target),
            "vertices": len(rec.mesh.vertices),
            "faces": len(rec.mesh.faces),
            "score": round(rec.score, 4),
            "crop": [round(v, 3) for v in rec.maps.box],
            "camera": {
                "rotation": rec.camera.rotation.round(6).tolist(),
                "scale": rec.camera.scale,
                "translation": rec.camera.translation.round(4).tolist(),
            },
            "landmarks": rec.landmarks.round(4).tolist(),
            "milliseconds": {name: round(spent, 2) for name, spent in rec.timings.items()},
        }
    return entry


def _demo(args: argparse.Namespace) -> int:
    from facegeom.images.image_files import load_image, save_image
    from facegeom.mesh.viewer import is_bundled
    from facegeom.reconstruction import demo_photo, reconstruct
    from facegeom.render import preview_sheet

    args.out.mkdir(parents=True, exist_ok=True)
    options = {"device": args.device, "head": True, "texture": args.texture}
    reconstruct(demo_photo(), **options)  # loads the networks, so that the times below are a second photo's
    rec = reconstruct(demo_photo(), **options)
    names = ["head.glb", "head.obj", *(["head.html"] if is_bundled() else []), "preview.png"]
    written = [args.out / name for name in names]
    for path in written[:-1]:
        rec.save(path)
    save_image(preview_sheet(rec, load_image(demo_photo())), written[-1])

    width = max(len(name) for name in rec.timings)
    for name, spent in rec.timings.items():
        print(f"{name:<{width}} {spent:8.1f} ms")
    print(f"{'total':<{width}} {sum(rec.timings.values()):8.1f} ms")
    print(f"{len(rec.mesh.vertices)} vertices, {len(rec.mesh.faces)} faces: " + ", ".join(map(str, written)))
    return SUCCESS


def _info(args: argparse.Namespace) -> int:
    import cv2
    import numpy as np
    import torch

    folder = Path(facegeom.__file__).parent
    devices = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    facts: dict[str, Any] = {
        "facegeom": facegeom.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "devices": devices,
        "pipelines": list(PIPELINE_NAMES),
        "weights": {
            path.stem: round(path.stat().st_size / 1e6, 2) for path in sorted(folder.glob("weights/*.safetensors"))
        },
        "face model": {
            path.stem: round(path.stat().st_size / 1e6, 2) for path in sorted(folder.glob("face_model/*.npz"))
        },
    }
    if args.json:
        print(json.dumps(facts, indent=2))
        return SUCCESS
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {size} MB" for key, size in value.items()) or "none"
        elif isinstance(value, list):
            value = ", ".join(value)
        print(f"{name:<11} {value}")
    return SUCCESS


def _complain(message: str) -> None:
    line = " ".join(message.split())
    print(f"facegeom: {line}", file=sys.stderr)
