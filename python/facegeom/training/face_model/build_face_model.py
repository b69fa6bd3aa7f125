"""Making the face model that facegeom ships: `facegeom train face-model`.

ICT FaceKit Light (MIT) is remeshed into a topology of our own (`face_model_topology`), its
identity space is sampled and analysed on that topology, its expressions are carried over
(`face_model_statistics`), corners that would turn over are smoothed in both
(`face_model_corners`), and everything is unwrapped (`face_model_atlas`) and packed into one
`.npz` file that `facegeom.load_face_model` reads.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegeom._internal.files import write_atomically
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
from facegeom.training.face_model.skin_remeshing import SkinOptions
from facegeom.training.face_model.topology import build_topology, symmetric_positions

_IDENTITY_STEP = 0.003  # mm; rounding adds 0.0009 mm RMS per sigma and component
_EXPRESSION_STEP = 0.004  # mm


def build_face_model(
    ict_path: str | Path,
    canonical_path: str | Path,
    output: str | Path,
    *,
    identity_count: int = 100,
    samples: int = 8000,
    options: SkinOptions | None = None,
) -> Path:
    """Make the face model from the ICT head and write it.

    Parameters
    ----------
    ict_path : str or Path
        `ict_face_model.npz`, ICT FaceKit Light as arrays.
    canonical_path : str or Path
        `canonical_on_ict.npz`: where the 468 FaceMesh points lie on the ICT head.
    output : str or Path
        The `.npz` to write; landmarks68 are the Multi-PIE ones until `calibrate_landmarks`.
    identity_count : int
        How many identity components to keep.
    samples : int
        How many neutral heads to draw.
    options : SkinOptions, optional
        Vertex counts and grading.

    Returns
    -------
    Path
        Where the model was written.
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
    log.info("%d components keep %.4f of the variance", identity_count, identity.kept)
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
    output = Path(output)
    write_atomically(output, lambda path: np.savez_compressed(path, allow_pickle=False, **arrays))
    log.info("wrote %s, %.1f MB", output.name, output.stat().st_size / 1e6)
    return output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom train face-model`."""
    parser.add_argument("--ict", type=Path, required=True, help="ict_face_model.npz, ICT FaceKit Light as arrays")
    parser.add_argument("--canonical", type=Path, help="canonical_on_ict.npz, the FaceMesh points on the ICT head")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="the model: a new .npz, or with --check one to read"
    )
    parser.add_argument("--components", type=int, default=100, help="identity components (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=8000, help="neutral heads drawn (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="only measure the model that is there")
    parser.add_argument(
        "--smooth-corners",
        type=Path,
        metavar="MODEL",
        help="only smooth this model's corners and write it to --out",
    )
    parser.add_argument("--held-out", type=int, default=200, help="heads of the check (default: %(default)s)")
    parser.add_argument("--figures", type=Path, help="folder for pictures of the model")


def run(args: argparse.Namespace) -> int:
    """Make the face model or smooth one, unless it is only to be checked, measure it and print what was measured."""
    from facegeom.training.face_model.quality import check_face_model

    if args.smooth_corners is not None:
        if args.check:
            raise FacegeomError("--smooth-corners writes a model and --check only reads one: choose one of them")
        smooth_face_model(args.smooth_corners, args.out)
    elif not args.check:
        if args.canonical is None:
            raise FacegeomError("--canonical is needed to make a model: the file canonical_on_ict.npz")
        build_face_model(args.ict, args.canonical, args.out, identity_count=args.components, samples=args.samples)
    report = check_face_model(args.ict, args.out, samples=args.held_out, figures=args.figures)
    width = max(map(len, report))
    sys.stdout.writelines(f"{name:<{width}}  {value:.5g}\n" for name, value in report.items())
    return 0
