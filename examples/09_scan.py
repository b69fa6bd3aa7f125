"""A scan to a head with blendshapes. Without a mesh file, a turned and noisy head of the face model stands in for it.

Run: python examples/09_scan.py [OUTPUT_FOLDER] [MESH]
"""

import sys
from pathlib import Path

import numpy as np

import facegeom

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
out.mkdir(parents=True, exist_ok=True)
if len(sys.argv) > 2:
    scan = facegeom.FaceMesh.load(sys.argv[2])
else:
    model, rng = facegeom.load_face_model(), np.random.default_rng(1)
    skin = int(model.regions["head"].sum())
    faces = model.faces[(model.faces < skin).all(axis=1)]
    points = model.vertices(rng.normal(0, 1, 60))[:skin] + rng.normal(0, 0.1, (skin, 3))
    turn = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    scan = facegeom.FaceMesh(points @ turn.T / 10 + 30, faces)  # centimetres, in no particular place

rigged = facegeom.rig(scan)
rigged.save(out / "scan_head.glb")  # with 52 blendshapes; the expression of the scan is their initial weights
rigged.save(out / "scan_neutral.ply", neutral=True)

print(f"unit {rigged.unit}, {100 * rigged.coverage:.0f} % of the face covered")
print(f"distance from the scan: mean {rigged.distance_mm:.2f} mm, 95 % below {rigged.p95_mm:.2f} mm")
