"""Several photos of a person to one head. Without photos, three versions of the demo portrait stand in for them.

Run: python examples/07_person.py [OUTPUT_FOLDER] [PHOTO PHOTO ...]
"""

import sys
from pathlib import Path

import numpy as np

import facegeom
from facegeom.reconstruction import demo_photo

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
out.mkdir(parents=True, exist_ok=True)
photos = sys.argv[2:]
if not photos:
    portrait = facegeom.load_image(demo_photo())
    photos = [portrait, np.ascontiguousarray(portrait[:, ::-1]), (portrait * 0.7).astype(np.uint8)]

person = facegeom.reconstruct_person(photos, texture=512)
person.head.save(out / "person.glb")  # neutral, with blendshapes; programs open it like the file of one photo
person.neutral.save(out / "person_neutral.ply")  # the face model with the common identity

for number, photo in enumerate(person.photos):
    if photo.pose is None:
        print(f"photo {number}: {photo.problem}")
        continue
    used = "used" if photo.used else f"left out: {photo.problem}"
    print(f"photo {number}: yaw {photo.pose.yaw:.0f} degrees, differs by {photo.distance_mm:.2f} mm, {used}")
