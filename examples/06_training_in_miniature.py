"""Train a small FaceVision generator on eight rendered faces. The real training: `facegeom train facevision`.

Needs: pip install 'facegeom[train]'. Run: python examples/06_training_in_miniature.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegeom import load_face_model
from facegeom.networks.facevision import FaceVisionConfig, FaceVisionGenerator
from facegeom.training.data.synthetic import SyntheticFaces

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
out.mkdir(parents=True, exist_ok=True)
faces = SyntheticFaces(load_face_model())
samples = [faces.draw(np.random.default_rng(i), 64)[0] for i in range(8)]  # exact depth, correspondence and mask
image = torch.tensor(np.stack([s.image for s in samples])).permute(0, 3, 1, 2) / 127.5 - 1  # (8, 3, 64, 64)
mask = torch.tensor(np.stack([s.mask for s in samples]))[:, None].float()  # (8, 1, 64, 64)
truth = torch.tensor(np.stack([np.dstack([s.depth, s.correspondence]) / 100 for s in samples])).permute(0, 3, 1, 2)
torch.manual_seed(0)
torch.set_num_threads(1)  # fastest for images of this size
network = FaceVisionGenerator(FaceVisionConfig(64, 1, (16, 32, 48, 64, 64), (1, 1, 1, 1, 1), (16, 24, 32, 48)))
optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
for step in range(151):
    maps = network(image)[:, :4]  # (8, 4, 64, 64): depth, correspondence x, y, z
    loss = ((maps - truth).abs() * mask).sum() / (4 * mask.sum())  # mean error inside the mask, in units of 100 mm
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3d}: mean error of depth and correspondence {100 * loss.item():.1f} mm")
grey = (128 + 160 * torch.cat([truth, maps.detach()])[:, :1] * mask.repeat(2, 1, 1, 1)).clamp(0, 255).byte()
grey = np.repeat(grey.permute(0, 2, 3, 1).numpy(), 3, axis=3)  # depth as grey values: 8 true, 8 predicted
pictures = np.stack([*(s.image for s in samples), *grey]).reshape(3, 8, 64, 64, 3)
Image.fromarray(pictures.transpose(0, 2, 1, 3, 4).reshape(192, 512, 3)).save(out / "training.png")
