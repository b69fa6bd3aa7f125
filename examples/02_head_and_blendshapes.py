"""One photo to a whole head with 52 blendshapes, and four expressions made from them.

Run: python examples/02_head_and_blendshapes.py [OUTPUT_FOLDER] [PHOTO]
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import facegeom
from facegeom.reconstruction import demo_photo
from facegeom.render import Frame, render_mesh, turn

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
photo = sys.argv[2] if len(sys.argv) > 2 else demo_photo()  # the portrait that is part of the package
out.mkdir(parents=True, exist_ok=True)

rec = facegeom.reconstruct(photo, head=True, texture=512)
rec.save(out / "head.glb")  # the blendshapes are morph targets, with ARKit's names

# The same head with a neutral face; head.glb has the expression of the photo as weights of the blendshapes.
rec.save(out / "head_neutral.glb", neutral=True)
head = rec.neutral
weights = rec.blendshapes
strongest = sorted(weights, key=weights.get, reverse=True)[:5]
print("expression in the photo:", ", ".join(f"{name} {weights[name]:.2f}" for name in strongest))

# A blendshape is a displacement of every vertex (mm) at weight 1. An expression is a weighted sum of blendshapes.
smile = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}
wink = {"eyeBlinkLeft": 1.0, "browInnerUp": 0.8, "mouthPucker": 0.8}
pictures = []
for weights in ({}, {"jawOpen": 0.7}, smile, wink):
    vertices = head.vertices + sum(weight * head.blendshapes[name] for name, weight in weights.items())
    mesh = replace(head, vertices=vertices)
    pictures.append(render_mesh(mesh, turn(20), frame=Frame.around(head), colors=True))
Image.fromarray(np.hstack(pictures)).save(out / "expressions.png")
