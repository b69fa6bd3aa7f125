"""A video to an animated head. Without a video, the demo portrait that rolls from side to side stands in for one.

Run: python examples/08_video.py [OUTPUT_FOLDER] [VIDEO]
"""

import sys
from pathlib import Path

import cv2
import numpy as np

import facegeom
from facegeom.reconstruction import demo_photo

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
out.mkdir(parents=True, exist_ok=True)
if len(sys.argv) > 2:
    performance = facegeom.track(sys.argv[2], texture=512)  # a path, or the frames of an iterable as below
else:
    portrait = facegeom.load_image(demo_photo())[40:250, 110:330]
    height, width = portrait.shape[:2]
    frames = []
    for roll in 8.0 * np.sin(np.linspace(0.0, 2.0 * np.pi, 20)):
        turn = cv2.getRotationMatrix2D((0.5 * width, 0.7 * height), roll, 1.0)
        frames.append(cv2.warpAffine(portrait, turn, (width, height), borderMode=cv2.BORDER_REPLICATE))
    performance = facegeom.track(frames, fps=25, texture=512)

performance.save(out / "performance.glb")  # animated: weights of the blendshapes and rotation of the head
performance.save(out / "performance.csv")  # the table of the app Live Link Face
performance.save(out / "performance.bvh")  # the rotation of the head

for frame in range(0, len(performance), 5):
    yaw, pitch, roll = performance.pose(frame)
    smile = performance.blendshapes(frame)["mouthSmileLeft"]
    print(f"{performance.times[frame]:.2f} s: yaw {yaw:.1f}, pitch {pitch:.1f}, roll {roll:.1f}, smile {smile:.2f}")
