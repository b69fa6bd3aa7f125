"""`facegeom train face-model`: make the face model that is part of the package facegeom.

Steps: remesh ICT FaceKit Light (MIT licence) (`topology`), compute identity components of random ICT heads and transfer
the expressions (`components`), smooth the components where triangles would invert (`corner_smoothing`), compute texture
coordinates (`atlas`), give the teeth their shape (`teeth`), and write everything to one .npz file, which
`facegeom.load_face_model` reads.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegeom._internal.files import write_npz
from facegeom.errors import FacegeomError
from facegeom.training.face_model.atlas import build_atlas
from facegeom.training.face_model.components import (
    expression_components,
    identity_components,
    quantise,
    vertex_importance,
)
from facegeom.training.face_model.corner_smoothing import smooth_corners, smooth_face_model
from facegeom.training.face_model.ict_head import load_ict
from facegeom.training.face_model.pictures import FIGURES
from facegeom.training.face_model.skin_remeshing import SkinOptions
from facegeom.training.face_model.teeth import shape_teeth, shape_teeth_of
from facegeom.training.face_model.topology import build_topology, symmetric_positions

_IDENTITY_STEP = 0.003  # quantisation step of identity components, mm; RMS rounding error 0.0009 mm
_EXPRESSION_STEP = 0.004  # quantisation step of expression components, mm


def build_face_model(
    ict_path: str | Path,
    canonical_path: str | Path,
    output: str | Path,
    *,
    identity_count: int = 100,
    samples: int = 8000,
    options: SkinOptions | None = None,
) -> Path:
    """Make the face model from the ICT head and write it to a file.

    Parameters
    ----------
    ict_path : str or Path
        Path of `ict_face_model.npz`, ICT FaceKit Light as arrays.
    canonical_path : str or Path
        Path of `canonical_on_ict.npz`, the positions of the 468 FaceMesh landmarks on the ICT head.
    output : str or Path
        The .npz file to write. Its `landmarks68` are the Multi-PIE landmarks until `calibrate_landmarks` replaces them.
    identity_count : int
        Number of identity components.
    samples : int
        Number of random neutral heads from which the identity components are computed.
    options : SkinOptions, optional

    Returns
    -------
    Path
        The argument `output`.
    """
    log = logging.getLogger("facegeom")
    head = load_ict(ict_path)
    with np.load(Path(canonical_path)) as canonical:
        triangles = canonical["triangle_vertices"].astype(np.int64)
        barycentric = canonical["barycentric"].astype(np.float64)
    topology = build_topology(head, triangles, barycentric, options)
    mesh = topology.mesh
    mean = symmetric_positions(mesh, np.asarray(mesh.interpolate(head.vertices), dtype=np.float64))
    importance = vertex_importance(mean, mesh, topology.face_vertex_count)
    identity = identity_components(head, mesh, importance, count=identity_count, samples=samples)
    log.info("%d components explain %.4f of the variance", identity_count, identity.kept)
    components, face = identity.components, topology.face_vertex_count
    expression = expression_components(head, mesh, mean, topology.regions)
    components[:, :face], expression[:, :face] = smooth_corners(
        mean[:face],
        mesh.faces[: topology.face_triangle_count],
        mesh.mirror[:face],
        components[:, :face],
        expression[:, :face],
    )
    uv, uv_faces = build_atlas(topology, mean)
    arrays: dict[str, NDArray[np.generic]] = {
        "mean": mean,
        "identity": quantise(components, _IDENTITY_STEP),
        "identity_step": np.array(_IDENTITY_STEP),
        "expression": quantise(expression, _EXPRESSION_STEP),
        "expression_step": np.array(_EXPRESSION_STEP),
        "expression_names": np.array(head.expression_names),
        "faces": mesh.faces.astype(np.int32),
        "face_vertex_count": np.array(topology.face_vertex_count),
        "face_triangle_count": np.array(topology.face_triangle_count),
        "mirror": mesh.mirror.astype(np.int32),
        "landmarks68": topology.landmarks68.astype(np.int32),
        "landmarks68_multipie": topology.landmarks68.astype(np.int32),
        "landmarks468_triangles": topology.landmarks468_triangles.astype(np.int32),
        "landmarks468_barycentric": topology.landmarks468_barycentric,
        "region_names": np.array(list(topology.regions)),
        "regions": np.stack(list(topology.regions.values())),
        "carrier": mesh.carrier.astype(np.int32),
        "carrier_weight": mesh.weight.astype(np.float32),
        "uv": uv,
        "uv_faces": uv_faces.astype(np.int32),
    }
    shape_teeth(arrays, head)
    output = Path(output)
    write_npz(output, arrays)
    log.info("wrote %s, %.1f MB", output.name, output.stat().st_size / 1e6)
    return output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train face-model` to a parser."""
    parser.add_argument(
        "--ict", type=Path, required=True, help="path of ict_face_model.npz, ICT FaceKit Light as arrays"
    )
    parser.add_argument(
        "--canonical",
        type=Path,
        help="path of canonical_on_ict.npz, the positions of the FaceMesh landmarks on the ICT head",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="model file to write, or to read with --check (.npz)"
    )
    parser.add_argument(
        "--components", type=int, default=100, help="number of identity components (default: %(default)s)"
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=8000,
        help="number of random neutral heads for the identity components (default: %(default)s)",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--check", action="store_true", help="only measure the existing model in --out")
    only.add_argument(
        "--smooth-corners",
        type=Path,
        metavar="MODEL",
        help="only smooth the components of this model at the corners of lids and mouth, and write the result to --out",
    )
    only.add_argument(
        "--shape-teeth",
        type=Path,
        metavar="MODEL",
        help="only give the teeth of this model their shape, and write the result to --out",
    )
    parser.add_argument(
        "--held-out",
        type=int,
        default=200,
        help="number of random heads for the measurement of the model (default: %(default)s)",
    )
    parser.add_argument("--figures", type=Path, help="folder for pictures of the model (default: no pictures)")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the model file, unless it is only read, and the pictures of the model."""
    figures = [] if args.figures is None else [args.figures / f"{name}.png" for name in FIGURES]
    return figures if args.check else [args.out, *figures]


def run(args: argparse.Namespace) -> int:
    """Make, smooth or read a face model; then measure the model and print the measured values; return the exit code."""
    from facegeom.training.face_model.quality import check_face_model

    if args.smooth_corners is not None:
        smooth_face_model(args.smooth_corners, args.out)
    elif args.shape_teeth is not None:
        shape_teeth_of(args.shape_teeth, args.ict, args.out)
    elif not args.check:
        if args.canonical is None:
            raise FacegeomError("--canonical is needed to make a model: give the file canonical_on_ict.npz")
        build_face_model(args.ict, args.canonical, args.out, identity_count=args.components, samples=args.samples)
    report = check_face_model(args.ict, args.out, samples=args.held_out, figures=args.figures)
    width = max(map(len, report))
    sys.stdout.writelines(f"{name:<{width}}  {value:.5g}\n" for name, value in report.items())
    return 0
