"""Print SHA-256 digests of all results of facegeom for some photos, to compare them before and after a change.

    python tests/output_digests.py PHOTO... > before.json

Every photo is reconstructed by each pipeline, and as a head with a texture. The digests cover the arrays of the
reconstruction and the bytes of its GLB file, so two runs agree only if all results are identical. The script uses the
public API only.
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
"""Options of `facegeom.reconstruct` by name of the run."""


def digest(*values):
    """Return the SHA-256 of arrays and bytes, including shapes and dtypes."""
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
    """Return the digest of each part of a reconstruction, or the class of the error."""
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
