"""The segmentation network: the class of each pixel of the crop of a head.

`segmentation_crop` defines crop and classes.

An encoder of strided convolutions, and a light decoder with sums as skip connections (as in Chaurasia & Culurciello
2017, LinkNet). The last convolution works at half of the resolution; its channels are rearranged to pixels (Shi et al.
2016).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.threads import load_once, one_thread
from facegeom.networks.devices import check_device
from facegeom.networks.interface import check_crops
from facegeom.networks.segmentation_crop import CLASSES
from facegeom.networks.weights import load_state, load_weights


@dataclass(frozen=True)
class SegmentationConfig:
    """Sizes of the network."""

    size: int = 128  # side of the input and of the output in pixels
    classes: int = len(CLASSES)
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)  # channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size


class SegmentationNetwork(nn.Module):
    """The network; its answer are logits."""

    def __init__(self, config: SegmentationConfig = SegmentationConfig()) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = _block(3, widths[0], kernel=5, stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_block(before, after, stride=2), _block(after, after)) for before, after in pairwise(widths)
        )
        self.narrow = nn.ModuleList(_block(after, before, kernel=1) for before, after in pairwise(widths))
        self.merge = nn.ModuleList(_block(before, before) for before in widths[:-1])
        self.answer = nn.Conv2d(widths[0], 4 * config.classes, 3, padding=1)

    def forward(self, photo: Tensor) -> Tensor:
        """Return logits (b, classes, S, S) for photos (b, 3, S, S) in [-1, 1]."""
        x = self.stem(photo)  # (b, w0, S/2, S/2)
        kept = []
        for down in self.down:
            kept.append(x)
            x = down(x)
        for level in reversed(range(len(kept))):
            x = nn.functional.interpolate(self.narrow[level](x), scale_factor=2.0, mode="bilinear")
            x = self.merge[level](x + kept[level])
        return nn.functional.pixel_shuffle(self.answer(x), 2)


def _block(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)
    )


class Segmentation:
    """The trained network; see `SegmentationPredictor`."""

    def __init__(self, network: SegmentationNetwork, device: torch.device) -> None:
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device

    @property
    def size(self) -> int:
        """Side of the crop in pixels."""
        return self.network.config.size

    @one_thread()
    @torch.inference_mode()
    def predict(self, crops: ByteArray) -> Float32Array:
        """Predict the classes in crops (b, S, S, 3), uint8; see `SegmentationPredictor.predict`."""
        check_crops(crops, self.size)
        photo = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))).to(self.device).float()
        photo = photo.div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        out: Float32Array = self.network(photo).float().softmax(1).permute(0, 2, 3, 1).cpu().contiguous().numpy()
        return out


@load_once(maxsize=2)
def load_segmentation(device: str = "cpu", path: str | os.PathLike[str] | None = None) -> Segmentation:
    """Load the segmentation network of the package, or the one at `path`; later calls return the same object.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another network.
    """
    config, state = load_weights("segmentation", SegmentationConfig, path)
    network = SegmentationNetwork(config)
    load_state(network, "segmentation", state)
    return Segmentation(network, check_device(device))
