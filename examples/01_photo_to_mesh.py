"""One photo to one face mesh: files for other programs, the 68 landmarks in the photo, a preview picture.

Run: python examples/01_photo_to_mesh.py [OUTPUT_FOLDER] [PHOTO]
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

import facegeom
from facegeom.reconstruction import demo_photo
from facegeom.render import preview_sheet

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
photo = sys.argv[2] if len(sys.argv) > 2 else demo_photo()  # the portrait that is part of the package
out.mkdir(parents=True, exist_ok=True)

# Find the face, predict its maps, and register the template mesh to them.
rec = facegeom.reconstruct(photo)
print(f"{len(rec.mesh.vertices)} vertices, {len(rec.mesh.faces)} triangles, score {rec.score:.2f}")
for step, milliseconds in rec.timings.items():
    print(f"  {step:<12} {milliseconds:7.1f} ms")

# The suffix selects the format: GLB in metres; OBJ, PLY and STL in millimetres.
for suffix in ("glb", "obj", "ply", "stl"):
    rec.save(out / f"face.{suffix}")

# The camera maps points of the face frame (mm) to pixels of the photo.
image = facegeom.load_image(photo)
drawing = Image.fromarray(image)
for x, y in rec.camera.project(rec.landmarks):
    ImageDraw.Draw(drawing).ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=(0, 255, 0))
drawing.save(out / "landmarks.png")

# One picture of the photo, the predicted maps and the mesh after each stage.
Image.fromarray(preview_sheet(rec, image)).save(out / "preview.png")
