"""The texture atlas of a head: save it, mark the part that the photo showed, replace it.

Run: python examples/05_texture.py [OUTPUT_FOLDER] [PHOTO]
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import facegeom
from facegeom.geometry import rasterize
from facegeom.reconstruction import demo_photo
from facegeom.render import render_mesh, turn

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
photo = sys.argv[2] if len(sys.argv) > 2 else demo_photo()  # the portrait that is part of the package
out.mkdir(parents=True, exist_ok=True)

mesh = facegeom.reconstruct(photo, head=True, texture=1024).mesh
mesh.save(out / "textured.obj")  # with textured.mtl and textured.texture.png beside it

# Drawing the triangles in texture space maps a value at the vertices to texels. UV coordinates: (0, 0) is bottom left.
texels = np.column_stack([mesh.uv[:, 0] * 1024 - 0.5, (1 - mesh.uv[:, 1]) * 1024 - 0.5, np.zeros(len(mesh.uv))])
seen = np.zeros((len(mesh.uv), 1))
seen[mesh.uv_faces, 0] = mesh.seen[mesh.faces]  # 1: visible in the photo, 0: inferred
atlas = rasterize(texels, mesh.uv_faces, seen, (1024, 1024))
seen = np.nan_to_num(atlas.attributes)
print(f"{100 * seen[atlas.triangle >= 0].mean():.0f} % of the atlas was visible in the photo")
marked = mesh.texture * (0.3 + 0.7 * seen)  # inferred texels are dark
Image.fromarray(np.hstack([mesh.texture, marked.astype(np.uint8)])).save(out / "atlas.png")

# Any image can replace the texture. A checkerboard shows how the atlas stretches over the head.
odd = (np.indices((1024, 1024)) // 32).sum(axis=0) % 2
checker = replace(mesh, texture=np.where(odd[..., None], [235, 235, 225], [60, 110, 160]).astype(np.uint8))
pictures = [render_mesh(each, turn(35), size=400, colors=True) for each in (mesh, checker)]
Image.fromarray(np.hstack(pictures)).save(out / "texture.png")
