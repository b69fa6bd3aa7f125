"""Stress of facegeom by threads and by forked children: every result is compared with the serial one, to the bit.

    python tests/thread_stress.py --threads 4 --calls 200 --children 4 --child-calls 20

The threads start in a process that has loaded nothing, so that they also make the first calls at the same time. The
children are forked by a process that has used several threads, while other threads are inside calls. With `--quick`
only small work is done. With `--digests` the serial results are computed alone. The script prints its figures as JSON;
the exit code is 1 after any difference, exception, or child that did not end in time.
"""

import argparse
import io
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_info

import facegeom
from facegeom import geometry
from facegeom.reconstruction import demo_photo
from facegeom.render import render_mesh
from output_digests import digest, mesh_arrays

SIDE = 160  # width and height of the photo in pixels
BOX = (37.0, 47.5, 111.3, 113.5)  # box of the face in it
CHILD_S = 300.0  # time in seconds after which a child counts as hung

_crop = Image.open(demo_photo()).crop((120, 20, 334, 234))
PHOTO = np.asarray(_crop.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
EMPTY = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
JPEG = io.BytesIO()
Image.fromarray(PHOTO).save(JPEG, "jpeg")


def reconstruction(**options):
    """Return the digest of all arrays of a reconstruction."""
    rec = facegeom.reconstruct(PHOTO, **options)
    meshes = [rec.mesh, *rec.stages.values(), *([rec.neutral] if rec.neutral is not None else [])]
    maps, camera = rec.maps, rec.camera
    return digest(
        *[array for mesh in meshes for array in mesh_arrays(mesh)],
        *[maps.depth, maps.correspondence, maps.mask, rec.landmarks, rec.score],
        *[camera.rotation, camera.scale, camera.translation, camera.project(rec.mesh.vertices)],
        *[rec.detections, rec.landmarks468, list(rec.pose), list(rec.blendshapes.values()), rec.identity],
        rec.to_bytes("glb"),
    )


def saved(suffixes, **options):
    """Return the digest of saved files, and of the meshes that are loaded from them."""
    rec = facegeom.reconstruct(PHOTO, box=BOX, **options)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix in suffixes:
            path = Path(folder) / f"mesh{suffix}"
            rec.save(path)
            found += [*mesh_arrays(facegeom.FaceMesh.load(path))]
        found += [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    return digest(*found)


def operators():
    """Return the digest of results of facegeom.geometry and of the face model."""
    model = facegeom.load_face_model()
    V = model.vertices(np.linspace(-1, 1, 20), np.linspace(0, 1, 10))
    F = model.faces[: model.face_triangle_count]
    skin = V[: model.face_vertex_count]
    moved = geometry.register_affine(skin, skin * 1.1 + 3.0).apply(V)
    solver = geometry.MeshSolver(skin, F, 4.0)
    return digest(
        *[V, moved, geometry.heat_smooth(skin, F, skin, 4.0), solver.smooth(skin)],
        *geometry.nearest(skin, moved),
        geometry.rasterize(skin * (1, -1, 1) + 100.0, F, skin, (200, 200)).attributes,
    )


QUICK = {
    "detect": lambda: digest(facegeom.detect(PHOTO)),
    "detect nothing": lambda: digest(facegeom.detect(EMPTY)),
    "load": lambda: digest(facegeom.load_image(JPEG.getvalue())),
    "operators": operators,
    "facevision, saved": lambda: saved([".glb", ".ply", ".stl"], pipeline="facevision"),
    "pix2vertex": lambda: reconstruction(box=BOX),
    "pixel2mesh": lambda: reconstruction(box=BOX, pipeline="pixel2mesh"),
}
"""Small work by name."""

JOBS = QUICK | {
    "predict": lambda: digest(facegeom.predict(PHOTO, BOX).landmarks),
    "detected pix2vertex": lambda: reconstruction(),
    "detected gcn_igan": lambda: reconstruction(pipeline="gcn_igan"),
    "facevision with texture": lambda: reconstruction(box=BOX, pipeline="facevision", texture=64),
    "head": lambda: reconstruction(box=BOX, head=True, texture=64),
    "gcn_igan head": lambda: reconstruction(box=BOX, pipeline="gcn_igan", head=True),
    "pix2vertex, saved": lambda: saved([".obj", ".glb"], texture=64),
    "render": lambda: digest(render_mesh(facegeom.reconstruct(PHOTO, box=BOX, pipeline="facevision").mesh, size=64)),
}
"""All work by name."""

OFTEN = ("detect", "detect nothing", "load", "operators", "facevision, saved")  # quick enough to be done three times


def sequence(jobs, count, seed):
    """Return `count` names of jobs in random order, each job about equally often, those of `OFTEN` three times."""
    names = [name for name in jobs for _ in range(3 if name in OFTEN else 1)]
    rng, found = random.Random(seed), []
    while len(found) < count:
        rng.shuffle(names)
        found += names
    return found[:count]


def call_all(names, jobs, results):
    """Do the named jobs; append (name, digest or traceback) to `results`."""
    for name in names:
        try:
            results.append((name, jobs[name]()))
        except BaseException:
            results.append((name, traceback.format_exc()))


def run_threads(jobs, threads, calls):
    """Do `calls` jobs in each of some threads; return all results."""
    results = []
    workers = [
        threading.Thread(target=call_all, args=(sequence(jobs, calls, seed), jobs, results)) for seed in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


def differences(results, serial):
    """Return a text for each result that is not the serial one."""
    return [f"{name}: {found}" for name, found in results if found != serial[name]]


def run_children(jobs, children, calls, serial):
    """Fork children one after the other while two threads are inside calls; return the texts of all failures."""
    stop, results, failures, pids = threading.Event(), [], [], {}

    def work(seed):
        for name in sequence(jobs, 10_000, seed):
            if stop.is_set():
                return
            call_all([name], jobs, results)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in (100, 101)]
    for worker in workers:
        worker.start()
    for child in range(children):
        time.sleep(0.3)
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            found = []
            call_all(sequence(jobs, calls, 200 + child), jobs, found)
            wrong = differences(found, serial)
            print("\n".join(wrong), file=sys.stderr, flush=True)
            os._exit(bool(wrong) or len(found) != calls)
        pids[pid] = child
    stop.set()
    for worker in workers:
        worker.join()
    end = time.monotonic() + CHILD_S
    while pids and time.monotonic() < end:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            time.sleep(0.05)
        elif os.waitstatus_to_exitcode(status):
            failures.append(f"child {pids.pop(pid)} failed")
        else:
            pids.pop(pid)
    for pid, child in pids.items():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        failures.append(f"child {child} hung")
    return failures + differences(results, serial)


def pool_sizes():
    """Return the number of threads of each BLAS library, and of torch in this thread."""
    import torch

    blas = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    return blas | {"torch": torch.get_num_threads()}


def start_openmp_pool():
    """Run an operation of torch on several threads, as a program that uses facegeom may do."""
    import torch

    torch.randn(3, 2000, 2000).exp().sum()


def main():
    """Run the stress and print its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--children", type=int, default=4)
    parser.add_argument("--child-calls", type=int, default=20)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--digests", action="store_true")
    args = parser.parse_args()
    jobs = QUICK if args.quick else JOBS
    if args.digests:
        print(json.dumps({name: job() for name, job in jobs.items()}))
        return 0
    start = time.monotonic()
    threaded = run_threads(jobs, args.threads, args.calls)
    middle = time.monotonic()
    sizes = pool_sizes()
    serial = {name: job() for name, job in jobs.items()}
    wrong = differences(threaded, serial)
    if pool_sizes() != sizes or (
        max(sizes.values()) == 1 < (os.cpu_count() or 1) and "OMP_NUM_THREADS" not in os.environ
    ):
        wrong.append(f"the numbers of threads were not restored: {sizes}, {pool_sizes()}")
    forked = []
    if args.children and hasattr(os, "fork"):
        start_openmp_pool()
        forked = run_children(jobs, args.children, args.child_calls, serial)
    figures = {
        "jobs": list(jobs),
        "threads": args.threads,
        "calls": len(threaded),
        "different": len(wrong),
        "children": args.children,
        "calls of a child": args.child_calls,
        "failed": len(forked),
        "threads_s": round(middle - start, 1),
        "total_s": round(time.monotonic() - start, 1),
    }
    print(json.dumps(figures))
    print("\n".join([*wrong, *forked]), file=sys.stderr)
    return int(bool(wrong or forked))


if __name__ == "__main__":
    sys.exit(main())
