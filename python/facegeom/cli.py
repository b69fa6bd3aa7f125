"""The command line `facegeom`: it parses arguments, calls the library and prints results."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import logging
import math
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, TextIO

import facegeom
from facegeom._internal.outputs import Outputs, printable
from facegeom.detection import DETECTORS
from facegeom.errors import FacegeomError, OutputError
from facegeom.images.limits import MAX_PIXELS
from facegeom.networks.backends import BACKENDS, DEFAULT_BACKEND
from facegeom.person import command as persons
from facegeom.pipelines import DEFAULT_PIPELINE, DENOISE, EXPRESSIONS, EYEWEAR, PIPELINES
from facegeom.rigging import command as rigging
from facegeom.tracking.arguments import add_track_arguments

SUCCESS, FAILURE, USAGE_ERROR, INTERRUPTED = 0, 1, 2, 130  # exit codes

# Group -> command -> (module, help text). Each module has the functions add_arguments(parser) and run(args) -> exit
# code. A module that writes other files than `--out` and `FILE_OPTIONS` has also output_files(args): these files. A
# module is imported only when its command is called: it needs the extra `train`.
MODULES = {
    "evaluate": {
        "aflw2000": ("facegeom.evaluation.aflw2000", "error of the 68 landmarks on AFLW2000-3D"),
        "depth": ("facegeom.evaluation.depth", "depth error on renders of a head scan"),
        "maps": ("facegeom.evaluation.maps", "errors of depth, correspondence and mask on test identities"),
        "detection": ("facegeom.evaluation.detection", "detection rate, and false detections in images without a face"),
        "roll": ("facegeom.evaluation.roll", "faces found and landmarks in portraits that are turned by any angle"),
        "pipeline": (
            "facegeom.evaluation.pipeline",
            "detection rate, mesh size, run time and false detections of the complete reconstruction",
        ),
        "registration": ("facegeom.evaluation.registration", "depth error before and after the template registration"),
        "meshes": ("facegeom.evaluation.meshes", "distance between the mesh of each pipeline and the true surface"),
        "runs": ("facegeom.evaluation.runs", "comparison of training runs of mesh networks"),
        "segmentation": ("facegeom.evaluation.segmentation", "classes of pixels against drawn outlines"),
        "denoising": ("facegeom.evaluation.denoising", "PSNR and SSIM of crops of faces without their noise"),
        "noise": ("facegeom.evaluation.noise", "movement of landmarks and faces found in noisy photos"),
        "diffusion": ("facegeom.evaluation.diffusion", "quality, labels and copies of generated photos of heads"),
        "albedo": ("facegeom.evaluation.albedo", "colours of synthetic heads before and after the light is removed"),
        "hair": ("facegeom.evaluation.hair", "distance between the outlines of the hair and of the head"),
        "landmarks": ("facegeom.evaluation.landmarks", "468 landmarks of portraits, wide mouths and closed eyes"),
        "identity": ("facegeom.evaluation.identity", "how well the neutral shape follows the person in the photo"),
        "person": ("facegeom.evaluation.person", "what several photos of a person gain over one"),
        "track": ("facegeom.evaluation.track", "pose, weights, jitter and lag of tracked synthetic videos"),
        "rig": ("facegeom.evaluation.rig", "heads from meshes in unknown places, and meshes without a face"),
        "expressions": (
            "facegeom.evaluation.expressions",
            "openings of eyes and mouth on photos with closed and open eyes and mouths",
        ),
        "texture": ("facegeom.evaluation.texture", "texture completion, compared with mirroring and OpenCV inpainting"),
        "heads": ("facegeom.evaluation.heads", "pictures of complete heads and of their textures"),
        "contact-sheet": (
            "facegeom.evaluation.contact_sheet",
            "contact sheet of the reconstructions of 24 test photos",
        ),
        "blendshapes": ("facegeom.evaluation.blendshape_sheet", "contact sheet of all blendshapes on a face"),
    },
    "prepare": {
        "landmarks": ("facegeom.training.data.landmarks", "MediaPipe FaceMesh landmarks of photos (needs MediaPipe)"),
        "labels": ("facegeom.training.data.labels", "face model fitted to the landmarks of photos"),
        "calibrate": (
            "facegeom.training.data.landmarks468",
            "positions of the 468 FaceMesh landmarks on the face model",
        ),
        "landmarks68": ("facegeom.training.face_model.landmarks68", "positions of the 68 landmarks on the face model"),
        "synthetic": ("facegeom.training.data.synthetic", "renders of random heads with exact ground truth"),
        "texture-model": (
            "facegeom.training.data.texture_model",
            "statistical model of face colours, from fitted photos",
        ),
        "texture-statistics": ("facegeom.training.texture.statistics", "statistics of the colours of face textures"),
        "textures": (
            "facegeom.training.texture.complete_textures",
            "textures of heads and occlusion masks, from fitted photos and skins",
        ),
        "boxes": (
            "facegeom.training.detector.face_boxes",
            "box of the 68 landmarks relative to the box of the face detector YuNet",
        ),
        "semi-sphere": (
            "facegeom.training.meshes.semi_sphere_layout",
            "the semi-sphere mesh that graph networks deform",
        ),
        "assets": ("facegeom.training.data.assets", "skins and environment maps for synthetic heads"),
        "person-masks": (
            "facegeom.training.segmentation.person_masks",
            "masks of the person in photos (with MediaPipe, in an environment of its own)",
        ),
        "segmentation": ("facegeom.training.segmentation.crops", "crops of heads with the class of every pixel"),
        "reshaped": ("facegeom.training.identity.reshaped_photos", "photos warped by known identity coefficients"),
        "diffused": (
            "facegeom.training.diffusion.prepare_diffused",
            "edited and generated photos of heads with their meshes, by diffusion or Pix2Pix",
        ),
        "heads": (
            "facegeom.training.identity.heads",
            "aligned crops of synthetic heads with known identity coefficients",
        ),
        "identity-average": (
            "facegeom.training.identity.average_weights",
            "mean of the weights of two identity networks",
        ),
        "level": ("facegeom.training.face_model.reduce_level", "topology of heads with lod=2"),
        "graphs": ("facegeom.training.export_graphs", "ONNX graphs of the networks, for backend 'onnx' (needs onnx)"),
    },
    "train": {
        "facevision": ("facegeom.training.maps.train_facevision", "FaceVision-GAN"),
        "pix2vertex": (
            "facegeom.training.maps.train_pix2vertex",
            "the geometry and correspondence networks of pix2vertex",
        ),
        "translate": (
            "facegeom.training.maps.train_translate",
            "network that translates renders into photos and keeps the geometry",
        ),
        "segmentation": (
            "facegeom.training.segmentation.train_segmentation",
            "network that tells skin, hair, covers, clothes and background apart",
        ),
        "identity": (
            "facegeom.training.identity.train_identity",
            "network that predicts the identity coefficients of a face",
        ),
        "contours": (
            "facegeom.training.contours.train_contours",
            "network that predicts the contours of the eyes and the lips",
        ),
        "denoiser": (
            "facegeom.training.denoising.train_denoiser",
            "network that removes noise, one of five methods",
        ),
        "diffusion": (
            "facegeom.training.diffusion.train_diffusion",
            "latent diffusion of heads, conditioned on the fitted face model",
        ),
        "pix2pix": (
            "facegeom.training.diffusion.train_pix2pix",
            "network that changes a photo so that it shows a changed head",
        ),
        "pixel2mesh": (
            "facegeom.training.meshes.train_pixel2mesh",
            "Pixel2Mesh: deforms a semi-sphere by the image features of a photo",
        ),
        "gcn_igan": (
            "facegeom.training.meshes.train_gcn_igan",
            "GCN-IGAN: like Pixel2Mesh, with landmarks as input and a discriminator",
        ),
        "texture": ("facegeom.training.texture.train_texture", "texture completion network"),
        "face-model": ("facegeom.training.face_model.build_face_model", "statistical face model"),
        "detector": ("facegeom.training.detector.train_detector", "cascade of small face detection networks"),
    },
}
FILE_OPTIONS = ("json", "faceless_sheet")
"""Arguments of the commands in `MODULES` that always name a file to write."""

OUTPUT_OPTIONS = (*FILE_OPTIONS, "out", "figures", "renders")
"""Arguments of the commands in `MODULES` that name a file or folder to write; all other paths are inputs."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
DATA_SUFFIXES = (*PICTURE_SUFFIXES, ".npz", ".npy", ".obj", ".jsonl")
"""Suffixes of the files that the commands in `MODULES` read in folders of photos and in other folders."""

BACKEND_HELP = "library of the networks; onnx (extra 'onnx') needs no PyTorch (default: %(default)s)"

GROUP_HELP = {
    "evaluate": "evaluate facegeom on a benchmark",
    "prepare": "prepare training data, also from your own photos",
    "train": "train a network or a model",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : command-line arguments without the program name; None: the arguments of the process

    Returns
    -------
    int
        Exit code: 0 if all inputs succeeded, 1 if at least one failed, 2 if the outputs clash, 130 after Ctrl-C, 128
        plus the number of the signal after SIGTERM or SIGHUP.

    Raises
    ------
    SystemExit
        By argparse: with code 2 after a usage error, with 0 after `--help` and `--version`.
    """
    try:
        with _signals_as_exceptions():
            args = _parser().parse_args(argv)
            if args.verbose:
                logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
            return int(args.run(args))
    except _Terminated as error:
        _print_error("terminated")
        return 128 + error.signal
    except KeyboardInterrupt:
        _print_error("interrupted")
        return INTERRUPTED
    except ModuleNotFoundError as error:
        _print_error(f"{error}; training and evaluation need: pip install 'facegeom[train]'")
        return FAILURE
    except OutputError as error:
        _print_error(str(error))
        return USAGE_ERROR
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still writes at its end
        return FAILURE
    except (FacegeomError, OSError, ValueError) as error:
        _print_error(str(error))
        return FAILURE


class _Terminated(KeyboardInterrupt):
    """The process was asked to end by a signal; like Ctrl-C, it passes through `except Exception`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Raise `_Terminated` at SIGTERM and SIGHUP, so that temporary files are removed; forked processes just end."""
    process = os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
        if os.getpid() != process:
            os.kill(os.getpid(), number)
        raise _Terminated(number)

    installed = []
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Handlers exist in the main thread only. `nohup` ignores SIGHUP: that stays so.
        with contextlib.suppress(ValueError):
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, end)
                installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            signal.signal(number, signal.SIG_DFL)


class _ModuleParser(argparse.ArgumentParser):
    """A parser that imports the module of a command, and adds the arguments of this module, only when it parses."""

    module: str | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Add the arguments of the command's module on the first call, then parse `args`."""
        if self.module is not None:
            command = importlib.import_module(self.module)
            self.module = None
            command.add_arguments(self)
            self.set_defaults(run=lambda parsed: _run_module(command, parsed))
        return super().parse_known_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facegeom", description="Reconstruct 3-D faces from photos.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"facegeom {facegeom.__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="print log messages to stderr")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    one = commands.add_parser(
        "reconstruct",
        help="reconstruct the faces in photos",
        description="Reconstruct the face in each photo as a mesh.",
    )
    one.add_argument(
        "photos", nargs="*", type=_user_path, metavar="PHOTO",
        help="image file, folder (with subfolders), or pattern such as 'photos/**/*.jpg'",
    )  # fmt: skip
    one.add_argument(
        "--from-file", type=_user_path, metavar="LIST",
        help="also take the photos named in a file, one a line; - reads the list from standard input",
    )  # fmt: skip
    one.add_argument(
        "-o", "--out", type=_user_path, required=True, metavar="OUT",
        help="mesh file to write (.glb, .gltf, .usdz, .obj, .ply, .stl, .html), or folder in which one mesh per photo "
        "is written; a batch that was interrupted is resumed when it is started again with the same folder",
    )  # fmt: skip
    one.add_argument(
        "--pipeline", choices=PIPELINES, default=DEFAULT_PIPELINE,
        help="reconstruction method (default: %(default)s)",
    )  # fmt: skip
    _add_networks(one)
    one.add_argument("--head", action="store_true", help="complete the face to a full head")
    one.add_argument(
        "--no-hair", dest="hair", action="store_false",
        help="with --head: do not raise the scalp to the outline of the hair in the photo",
    )  # fmt: skip
    one.add_argument(
        "--texture", type=int, metavar="N", help="give the mesh a texture of N x N pixels instead of vertex colours"
    )
    one.add_argument(
        "--neutral",
        action="store_true",
        help="write the mesh with the neutral expression instead of the expression in the photo",
    )
    one.add_argument(
        "--expression", choices=EXPRESSIONS, default="weights",
        help="how a file of a head stores the expression in the photo: as initial weights of the blendshapes of a "
        "neutral face, or baked into the vertices (default: %(default)s)",
    )  # fmt: skip
    one.add_argument(
        "--eyewear", choices=EYEWEAR, default=EYEWEAR[0],
        help="keep the glasses of the photo in the colours, or remove them (default: %(default)s)",
    )  # fmt: skip
    one.add_argument("--albedo", action="store_true", help="divide the light on the skin out of the colours")
    one.add_argument(
        "--denoise", choices=DENOISE, default="auto",
        help="remove noise before the networks see the photo: auto: if it is noisy; on: always, also from the colours "
        "(default: %(default)s)",
    )  # fmt: skip
    one.add_argument(
        "--format", choices=("glb", "gltf", "usdz", "obj", "ply", "stl", "html"), default="glb",
        help="mesh file format if OUT is a folder (default: %(default)s)",
    )  # fmt: skip
    one.add_argument(
        "--preview", action="store_true", help="also write a preview picture next to each mesh: face.preview.png"
    )
    one.add_argument(
        "--no-clobber", action="store_true",
        help="keep output files that exist; a photo is not reconstructed if all of its output files exist",
    )  # fmt: skip
    one.add_argument(
        "--max-pixels", type=int, metavar="N", default=MAX_PIXELS,
        help="refuse photos with more than N pixels (default: %(default)s)",
    )  # fmt: skip
    one.add_argument(
        "--face", dest="face_index", type=_face_index, default=0, metavar="N",
        help="reconstruct face N of each photo; 0, the default, is the best one",
    )  # fmt: skip
    one.add_argument("--all-faces", action="store_true", help="write all faces of each photo: me.face1.glb, ...")
    one.add_argument(
        "--box", type=_box, metavar="X0,Y0,X1,Y1",
        help="reconstruct the face in this box, in pixels of the photo (--box=-5,0,90,90 if X0 is negative)",
    )  # fmt: skip
    one.add_argument("--detector", choices=DETECTORS, default=DETECTORS[0], help="face detector (default: %(default)s)")
    one.add_argument("--json", action="store_true", help="print the results as one JSON document")
    many = one.add_argument_group("many photos")
    many.add_argument(
        "--table", type=_user_path, metavar="OUT.parquet",
        help="also write a table with one row for each face and each photo that failed (extra 'batch'); rows are "
        "collected in OUT.parquet.jsonl",
    )  # fmt: skip
    many.add_argument(
        "--workers", type=int, metavar="N",
        help="number of worker processes with one thread each (default: one for each core); 0: no worker processes",
    )  # fmt: skip
    many.add_argument(
        "--timeout", type=float, metavar="S", help="longest time for a photo in seconds; a longer one is an error"
    )
    many.add_argument(
        "--retry-failed", action="store_true", help="when a batch is resumed, also try again the photos that failed"
    )
    many.add_argument(
        "--engine", choices=("local", "ray"), default="local",
        help="where the workers run: on this machine, or on a Ray cluster (extra 'ray'; default: %(default)s)",
    )  # fmt: skip
    many.add_argument("--address", metavar="A", help="address of the Ray cluster (default: a new one on this machine)")
    one.set_defaults(run=_reconstruct, parser=one)

    person = commands.add_parser("person", help="reconstruct one head from several photos of a person")
    persons.add_person_arguments(person, _user_path)
    _add_networks(person)
    person.set_defaults(run=_person, parser=person)

    track = commands.add_parser("track", help="track the face in a video: an animated head and its curves")
    add_track_arguments(track, _user_path)
    _add_networks(track)
    track.set_defaults(run=_track, parser=track)

    rig = commands.add_parser("rig", help="make a head with blendshapes from a scan or a mesh of a face or head")
    rigging.add_rig_arguments(rig, _user_path)
    _add_networks(rig)
    rig.set_defaults(run=lambda args: rigging.rig_mesh(args, _print))

    register = commands.add_parser("register", help="deform a mesh so that it lies on another one")
    rigging.add_register_arguments(register, _user_path)
    register.set_defaults(run=lambda args: rigging.register(args, _print, _print_error))

    demo = commands.add_parser("demo", help="reconstruct the demo photo that is part of the package")
    demo.add_argument("-o", "--out", type=_user_path, default=Path("out"), help="output folder (default: %(default)s)")
    _add_networks(demo)
    demo.add_argument(
        "--texture",
        type=int,
        metavar="N",
        default=1024,
        help="side length N of the texture of N x N pixels (default: %(default)s)",
    )
    demo.set_defaults(run=_demo)

    for group, members in MODULES.items():
        parent = commands.add_parser(group, help=GROUP_HELP[group], description=GROUP_HELP[group].capitalize() + ".")
        choices = parent.add_subparsers(metavar="NAME", required=True, parser_class=_ModuleParser)
        for name, (module, description) in members.items():
            choices.add_parser(name, help=description, description=description[:1].upper() + description[1:] + ".")
            choices.choices[name].module = module

    info = commands.add_parser("info", help="print the versions and the installed networks")
    info.add_argument("--devices", action="store_true", help="also print the devices, for which torch is loaded")
    info.add_argument("--json", action="store_true", help="print the information as one JSON document")
    info.set_defaults(run=_info)
    return parser


def _run_module(command: ModuleType, args: argparse.Namespace) -> int:
    """Check the files that the command of a module would write against those that it reads, then run it."""
    inputs: list[Path] = []
    folders: dict[Path, tuple[str, ...]] = {}
    for name, value in vars(args).items():
        if isinstance(value, (str, Path)) and str(value).startswith("~"):
            value = type(value)(_user_path(str(value)))
            setattr(args, name, value)
        for item in value if isinstance(value, list) else [value]:
            if name in OUTPUT_OPTIONS or not isinstance(item, (str, Path)) or not item:
                continue
            if Path(item).is_dir():
                folders[Path(item)] = (
                    PICTURE_SUFFIXES if name in ("photos", "people", "pairs", "reshaped", "diffused") else DATA_SUFFIXES
                )
            elif Path(item).exists():
                inputs.append(Path(item))
    outputs = Outputs(inputs, folders)
    named = [getattr(args, name, None) for name in FILE_OPTIONS]
    others = command.output_files(args) if hasattr(command, "output_files") else [getattr(args, "out", None)]
    for path in [*named, *others]:
        if path is not None:
            outputs.add(path, f"the output {path}")
    outputs.make_folders()
    return int(command.run(args))


def _add_networks(parser: argparse.ArgumentParser) -> None:
    """Add the options of where the networks run."""
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default=DEFAULT_BACKEND, help=BACKEND_HELP)


def _reconstruct(args: argparse.Namespace) -> int:
    from facegeom.batch import command

    try:
        done = command.reconstruct_photos(args, _print, _print_error)
    except command.UsageError as error:
        args.parser.error(str(error))
    return SUCCESS if done else FAILURE


def _person(args: argparse.Namespace) -> int:
    if len(args.photos) < 2:
        args.parser.error("give at least two photos of the person; `facegeom reconstruct` takes one")
    return persons.make_head(args, _print, _print_error)


def _track(args: argparse.Namespace) -> int:
    from facegeom.tracking import command

    try:
        command.track_video(args, _print, _print_error)
    except command.UsageError as error:
        args.parser.error(str(error))
    return SUCCESS


def _demo(args: argparse.Namespace) -> int:
    from facegeom.images.image_files import load_image, save_image
    from facegeom.mesh.formats import mesh_files
    from facegeom.mesh.viewer import is_bundled
    from facegeom.reconstruction import demo_photo, reconstruct
    from facegeom.render import preview_sheet

    outputs = Outputs([demo_photo()])
    meshes = [args.out / name for name in ("head.glb", "head.obj", *(["head.html"] if is_bundled() else []))]
    for mesh in meshes:
        for path, content in mesh_files(mesh, textured=True):
            outputs.add(path, f"{content} of the demo")
    preview = outputs.add(args.out / "preview.png", "the preview of the demo")
    outputs.make_folders()
    options = {"device": args.device, "backend": args.backend, "head": True, "texture": args.texture}
    photo = load_image(demo_photo())
    reconstruct(photo, **options)  # the first call loads the networks; the times below are of the second call
    rec = reconstruct(photo, **options)
    for mesh in meshes:
        rec.save(mesh)
    save_image(preview_sheet(rec, photo), preview)

    width = max(len(name) for name in rec.timings)
    for name, spent in rec.timings.items():
        print(f"{name:<{width}} {spent:8.1f} ms")
    print(f"{'total':<{width}} {sum(rec.timings.values()):8.1f} ms")
    _print(f"{len(rec.mesh.vertices)} vertices, {len(rec.mesh.faces)} faces: {', '.join(map(str, [*meshes, preview]))}")
    return SUCCESS


def _info(args: argparse.Namespace) -> int:
    import cv2
    import numpy as np

    folder = Path(facegeom.__file__).parent
    facts: dict[str, Any] = {
        "facegeom": facegeom.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": _installed("torch"),
        "onnxruntime": _installed("onnxruntime"),
        "opencv": cv2.__version__,
        "pipelines": list(PIPELINES),
        "weights": {
            path.stem: round(path.stat().st_size / 1e6, 2) for path in sorted(folder.glob("weights/*.safetensors"))
        },
        "face model": {
            path.stem: round(path.stat().st_size / 1e6, 2) for path in sorted(folder.glob("face_model/*.npz"))
        },
    }
    if args.devices:
        facts["devices"] = _devices()
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


def _installed(name: str) -> str:
    """Return the version of an installed package, which is not imported."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> list[str]:
    """Return the devices on which the networks can run; torch takes about a second to load."""
    if importlib.util.find_spec("torch") is None:
        return ["cpu"]
    import torch

    devices = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*devices, "mps"] if torch.backends.mps.is_available() else devices


def _face_index(text: str) -> int:
    """Return the number of a face."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"the number of a face must be 0 or more, got {text!r}")
    return int(text)


def _box(text: str) -> list[float]:
    """Return a box that is written as four numbers with commas."""
    try:
        box = [float(side) for side in text.split(",")]
        x0, y0, x1, y1 = box
    except ValueError:
        raise argparse.ArgumentTypeError(f"a box must be four numbers X0,Y0,X1,Y1, got {text!r}") from None
    if not (math.isfinite(sum(box)) and x0 < x1 and y0 < y1):
        raise argparse.ArgumentTypeError(f"a box must have X0 < X1 and Y0 < Y1, got {text!r}")
    return box


def _user_path(text: str) -> Path:
    """Return a path argument with a leading `~` expanded, unless a file of that very name exists."""
    return Path(text if os.path.lexists(text) else os.path.expanduser(text))


def _print(text: str) -> None:
    """Print one line to stdout; characters that the terminal cannot show are escaped."""
    _write_line(text, sys.stdout)


def _print_error(message: str) -> None:
    _write_line(f"facegeom: {message.strip()}", sys.stderr)


def _write_line(text: str, stream: TextIO) -> None:
    encoding = stream.encoding or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream)
