"""Non-rigid registration: deform one mesh onto another one with a different number of vertices.

Run: python examples/03_register_two_meshes.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from facegeom import FaceMesh, load_face_model
from facegeom.geometry import maps_to_mesh, rasterize, register_nonrigid
from facegeom.render import render_mesh, turn

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
out.mkdir(parents=True, exist_ok=True)

# Template: the mean face. Target: another person who smiles, seen by a depth camera with pixels of 1 mm.
model = load_face_model()
V, F = model.mean[: model.face_vertex_count], model.faces[: model.face_triangle_count]
smile = np.array([0.7 * name.startswith("mouthSmile") for name in model.expression_names])
person = model.vertices(np.random.default_rng(3).normal(0, 0.6, 20), smile)[: len(V)]
depth = rasterize(person * (1, -1, 1) + (100, 120, 0), F, V, (240, 200))  # also which point of V each pixel shows
row, column = np.indices(depth.triangle.shape)
shown = (depth.triangle >= 0) & model.regions["map"][F].all(axis=1)[depth.triangle]  # without ears and neck
target = maps_to_mesh(np.dstack([column - 100, 120 - row, depth.depth]), shown, depth.attributes, max_edge=8.0)

# Without an embedding, closest points are matched. 68 landmarks say what belongs together where the shape does not.
landmarks = (model.landmarks68, person[model.landmarks68])
by_shape = register_nonrigid(V, F, None, target.V, target.F, None, landmarks=landmarks).vertices
# With an embedding (here the point of the mean face, as a network predicts it), the same values are matched.
by_embedding = register_nonrigid(V, F, V, target.V, target.F, target.E).vertices
for name, points in (("template", V), ("by shape", by_shape), ("by embedding", by_embedding)):
    print(f"{name:<12} {np.linalg.norm(points - person, axis=1).mean():.2f} mm from the true positions")

meshes = [FaceMesh(V, F), FaceMesh(target.V, target.F), FaceMesh(by_shape, F), FaceMesh(by_embedding, F)]
Image.fromarray(np.hstack([render_mesh(mesh, turn(30)) for mesh in meshes])).save(out / "registration.png")
meshes[-1].save(out / "registered.ply")
