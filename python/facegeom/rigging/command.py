"""The commands `facegeom rig` and `facegeom register`: their arguments, and what they do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from facegeom._internal.outputs import Outputs

SUCCESS, FAILURE = 0, 1  # exit codes
OUT_HELP = "mesh file to write: .glb, .gltf, .usdz, .obj, .ply, .stl or .html"


def add_rig_arguments(parser: argparse.ArgumentParser, path: Callable[[str], Path]) -> None:
    """Add the arguments of `facegeom rig`; `path` makes a path of an argument."""
    parser.add_argument(
        "mesh", type=path, metavar="MESH", help="mesh of a face or head in any unit and place: .glb, .obj, .ply or .stl"
    )
    parser.add_argument("-o", "--out", type=path, required=True, metavar="OUT", help=OUT_HELP)
    parser.add_argument(
        "--landmarks", type=path, metavar="FILE",
        help="JSON file of 68 points of the face, or of at least three by name; the face is then not searched",
    )  # fmt: skip
    parser.add_argument("--neutral", action="store_true", help="write the head without the expression of the mesh")
    parser.add_argument(
        "--texture", type=int, metavar="N", default=1024,
        help="side length N of the texture, if MESH has colours (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")


def add_register_arguments(parser: argparse.ArgumentParser, path: Callable[[str], Path]) -> None:
    """Add the arguments of `facegeom register`; `path` makes a path of an argument."""
    parser.add_argument("template", type=path, metavar="TEMPLATE", help="mesh to deform: .glb, .obj, .ply or .stl")
    parser.add_argument("target", type=path, metavar="TARGET", help="mesh on which it is laid")
    parser.add_argument("-o", "--out", type=path, required=True, metavar="OUT", help=OUT_HELP)
    parser.add_argument(
        "--landmarks", type=path, metavar="FILE",
        help='JSON file with the lists "template" (vertices or points) and "target" (points) of at least 3 landmarks',
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")


def rig_mesh(args: argparse.Namespace, write: Callable[[str], None]) -> int:
    """Run `facegeom rig`; return the exit code."""
    from facegeom.mesh.formats import check_suffix, mesh_files
    from facegeom.rigging.landmarks import read_landmarks
    from facegeom.rigging.rig import rig

    check_suffix(args.out)
    outputs = Outputs([args.mesh, *([args.landmarks] if args.landmarks else [])])
    for path, content in mesh_files(args.out, textured=True):
        outputs.add(path, f"{content} of the head")
    landmarks = None if args.landmarks is None else read_landmarks(args.landmarks)
    rigged = rig(args.mesh, landmarks=landmarks, texture=args.texture, device=args.device, backend=args.backend)
    outputs.make_folders()
    rigged.save(args.out, neutral=args.neutral)
    if args.json:
        print(json.dumps({"out": str(args.out), **rigged.to_dict()}, indent=2))
        return SUCCESS
    unit = f"its unit is {rigged.unit}" if rigged.unit else "its unit is unknown, so that the head has an average size"
    write(
        f"{args.out}: {len(rigged.mesh.vertices)} vertices, {rigged.distance_mm:.2f} mm from the mesh on average, 95 % "
        f"below {rigged.p95_mm:.2f} mm; the mesh covers {100 * rigged.coverage:.0f} % of the face, {unit}"
    )
    return SUCCESS


def register(args: argparse.Namespace, write: Callable[[str], None], write_error: Callable[[str], None]) -> int:
    """Run `facegeom register`; return the exit code."""
    from facegeom.mesh.face_mesh import FaceMesh
    from facegeom.mesh.formats import check_suffix, mesh_files
    from facegeom.rigging.registering import read_pairs, register_meshes

    check_suffix(args.out)
    template, target = FaceMesh.load(args.template), FaceMesh.load(args.target)
    outputs = Outputs([args.template, args.target, *([args.landmarks] if args.landmarks else [])])
    for path, content in mesh_files(args.out, textured=template.texture is not None):
        outputs.add(path, f"{content} of the registered template")
    landmarks = None if args.landmarks is None else read_pairs(args.landmarks, template)
    found = register_meshes(template, target, landmarks)
    outputs.make_folders()
    found.mesh.save(args.out)
    if not found.converged:
        write_error(f"the registration did not converge: {found.reason}")
    before, after = found.before.to_dict(), found.after.to_dict()
    if args.json:
        result = {"out": str(args.out), "before": before, "after": after, "converged": found.converged}
        print(json.dumps({**result, "reason": found.reason}, indent=2))
        return SUCCESS if found.converged else FAILURE
    print(f"{'distance':<20} {'':<5} {'before':>10} {'after':>10}")
    for name, values in before.items():
        for kind, value in (values or {}).items():
            print(f"{name:<20} {kind:<5} {value:10.4g} {after[name][kind]:10.4g}")
    write(f"{args.out}: {len(found.mesh.vertices)} vertices")
    return SUCCESS if found.converged else FAILURE
