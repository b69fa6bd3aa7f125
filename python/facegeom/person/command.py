"""The command `facegeom person`: its arguments, and what it does."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from facegeom._internal.outputs import Outputs

SUCCESS, FAILURE = 0, 1  # exit codes


def add_person_arguments(parser: argparse.ArgumentParser, path: Callable[[str], Path]) -> None:
    """Add the arguments of `facegeom person`; `path` makes a path of an argument."""
    parser.add_argument("photos", nargs="+", type=path, metavar="PHOTO", help="two or more photos of the same person")
    parser.add_argument(
        "-o", "--out", type=path, required=True, metavar="OUT",
        help="mesh file to write: .glb, .gltf, .usdz, .obj, .ply, .stl or .html",
    )  # fmt: skip
    parser.add_argument(
        "--keep-all", action="store_true", help="also use photos whose face differs from that of the others"
    )
    parser.add_argument(
        "--texture", type=int, metavar="N", default=1024,
        help="side length N of the texture of N x N pixels (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--no-hair", dest="hair", action="store_false",
        help="do not raise the scalp to the outline of the hair in the photo",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")


def make_head(args: argparse.Namespace, write: Callable[[str], None], write_error: Callable[[str], None]) -> int:
    """Run `facegeom person`; return the exit code, 1 if a photo was left out."""
    from facegeom.mesh.formats import check_suffix, mesh_files
    from facegeom.person.person import reconstruct_person

    check_suffix(args.out)
    outputs = Outputs(args.photos)
    for file, content in mesh_files(args.out, textured=True):
        outputs.add(file, f"{content} of the person")
    person = reconstruct_person(
        args.photos,
        keep_all=args.keep_all,
        texture=args.texture,
        device=args.device,
        backend=args.backend,
        hair=args.hair,
    )
    outputs.make_folders()
    person.head.save(args.out)
    for file, photo in zip(args.photos, person.photos, strict=True):
        if photo.problem:
            write_error(f"{file} is {'kept' if photo.used else 'left out'}: {photo.problem}")
    if args.json:
        print(json.dumps({"out": str(args.out), **person.to_dict()}, indent=2))
    else:
        used = sum(photo.used for photo in person.photos)
        write(f"{args.out}: {len(person.head.vertices)} vertices from {used} of {len(person.photos)} photos")
    return SUCCESS if all(photo.used for photo in person.photos) else FAILURE
