"""Geometry without a photo: triangulate scattered points, then remove noise from the surface.

Run: python examples/04_delaunay_and_smoothing.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from facegeom import FaceMesh
from facegeom.geometry import delaunay, heat_smooth, laplacian_smooth, mean_curvature_normals
from facegeom.render import render_mesh, turn

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
out.mkdir(parents=True, exist_ok=True)

# 5,000 points of a sphere of radius 100 mm, inside a disc of radius 60 mm, measured with 0.3 mm of noise.
rng = np.random.default_rng(0)
radius, angle = 60 * np.sqrt(rng.random(5000)), 2 * np.pi * rng.random(5000)
xy = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
z = np.sqrt(100**2 - radius**2) + rng.normal(0, 0.3, len(radius))
V, F = np.column_stack([xy, z]), delaunay(xy)  # counter-clockwise triangles that cover the convex hull
print(f"{len(F)} triangles")

surfaces = {
    "noisy": V,
    "laplacian": laplacian_smooth(V, F, iterations=10),  # each vertex moves towards the mean of its neighbours
    "heat": heat_smooth(V, F, V, time=3.0),  # diffusion: removes detail smaller than sqrt(3) = 1.7 mm
}
inner = radius < 50  # curvature is not defined at the boundary
for name, V in surfaces.items():
    distance = np.abs(np.linalg.norm(V[inner], axis=1) - 100).mean()
    curvature = np.median(np.linalg.norm(mean_curvature_normals(V, F)[inner], axis=1))
    print(f"{name:<9} {distance:.3f} mm from the sphere, mean curvature {curvature:.4f}/mm (sphere: 0.01)")

pictures = [render_mesh(FaceMesh(V, F), turn(25, 35)) for V in surfaces.values()]
Image.fromarray(np.hstack(pictures)).save(out / "smoothing.png")
