"""Print a SHA-256 digest of everything that facegeom makes of some photos: run before and after a change, and compare.

    python tests/output_digests.py PHOTO... > before.json

Each photo goes through every pipeline and through the whole head with a texture. A digest covers the arrays of the
reconstruction and the bytes of its GLB file, so that two runs agree only if the results are the same to the bit.
Only names of the public API are used.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import facegeom

RUNS = {
    "pix2vertex": {},
    "facevision": {"pipeline": "facevision", "texture": 256},
    "pixel2mesh": {"pipeline": "pixel2mesh"},
    "gcn_igan": {"pipeline": "gcn_igan", "texture": 256},
    "head": {"head": True, "texture": 512},
    "gcn_igan_head": {"pipeline": "gcn_igan", "head": True},
}
"""Name of the run -> options of `facegeom.reconstruct`."""


def digest(*values):
    """Return the SHA-256 of arrays and bytes, shapes and types included."""
    total = hashlib.sha256()
    for value in values:
        if isinstance(value, bytes):
            total.update(value)
        elif value is None:
            total.update(b"none")
        else:
            array = np.ascontiguousarray(value)
            total.update(f"{array.shape}{array.dtype}".encode())
            total.update(array.tobytes())
    return total.hexdigest()


def mesh_arrays(mesh):
    """Return every array of a mesh, in a fixed order."""
    regions = [mesh.regions[name] for name in sorted(mesh.regions)]
    return [mesh.vertices, mesh.faces, mesh.uv, mesh.uv_faces, mesh.texture, mesh.colors, mesh.seen, *regions]


def reconstruction_digests(photo, options, folder):
    """Return a dict from part of the reconstruction to its digest, or to the error's class."""
    try:
        rec = facegeom.reconstruct(photo, **options)
    except facegeom.FacegeomError as error:
        return {"error": type(error).__name__}
    path = folder / "mesh.glb"
    rec.save(path)
    camera = rec.camera
    return {
        "mesh": digest(*mesh_arrays(rec.mesh)),
        "stages": digest(*[array for mesh in rec.stages.values() for array in mesh_arrays(mesh)]),
        "maps": digest(rec.maps.image, rec.maps.depth, rec.maps.correspondence, rec.maps.mask, rec.maps.box),
        "landmarks": digest(rec.landmarks),
        "camera": digest(camera.rotation, camera.scale, camera.translation, rec.score),
        "neutral": digest(None if rec.neutral is None else rec.neutral.vertices),
        "glb": digest(path.read_bytes()),
    }


def main(photos):
    """Print the digests of all photos as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        found = {
            Path(photo).name: {
                name: reconstruction_digests(photo, options, Path(folder)) for name, options in RUNS.items()
            }
            for photo in photos
        }
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main(sys.argv[1:])
