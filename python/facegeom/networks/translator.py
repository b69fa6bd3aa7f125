"""Image-to-image generator that makes rendered faces look like photos: a small residual U-Net.

Sela, Richardson, Kimmel: Unrestricted Facial Geometry Reconstruction Using Image-to-Image Translation (2017), section
5, application "the network as a geometric loss". The paper describes no architecture. This network predicts the change
of the image, like Shrivastava et al. 2017 (reference 38 of the paper), and is the identity before training. Group
normalisation does not depend on the other images of a batch, so the result for an image does not depend on its
batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.facevision import channels_last
from facegeom.networks.weights import load_state, load_weights

GROUP = 8  # channels per group of the group normalisation


@dataclass(frozen=True)
class TranslatorConfig:
    """Configuration of the translator, which is fully convolutional."""

    width: int = 16  # channels at full resolution, a multiple of 8; double at 1/2 and fourfold at 1/4 of the resolution
    blocks: int = 4  # number of residual blocks at 1/4 of the resolution


class GroupNormConv(nn.Sequential):
    """Convolution, group normalisation, leaky ReLU: (b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False),
            nn.GroupNorm(outputs // GROUP, outputs),
            nn.LeakyReLU(0.1, inplace=True),
        )


class GroupNormResidual(nn.Module):
    """Two 3x3 convolutions with group normalisation, added to the input: (b, width, h, w) -> the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = GroupNormConv(width, width), nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Translator(nn.Module):
    """The translator: images (b, 3, S, S) in [-1, 1], S a multiple of 4 -> images of the same shape and range."""

    def __init__(self, config: TranslatorConfig = TranslatorConfig()) -> None:
        super().__init__()
        width = config.width
        if width < GROUP or width % GROUP:
            raise ValueError(f"width must be a multiple of {GROUP}, got {width}")
        self.config = config
        self.enter = GroupNormConv(3, width)
        self.down = GroupNormConv(width, 2 * width, 4, 2)
        self.down_again = GroupNormConv(2 * width, 4 * width, 4, 2)
        self.blocks = nn.Sequential(*(GroupNormResidual(4 * width) for _ in range(config.blocks)))
        self.up = GroupNormConv(4 * width, 2 * width)
        self.up_again = GroupNormConv(2 * width, width)
        self.change = nn.Conv2d(width, 3, 3, 1, 1)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        whole = self.enter(image)  # (b, w, S, S)
        half = self.down(whole)  # (b, 2w, S/2, S/2)
        x = self.blocks(self.down_again(half))  # (b, 4w, S/4, S/4)
        x = half + self.up(functional.interpolate(x, scale_factor=2, mode="nearest"))
        x = whole + self.up_again(functional.interpolate(x, scale_factor=2, mode="nearest"))
        return (image + self.change(x).to(image.dtype)).clamp(-1, 1)


def load_translator(path: str | os.PathLike[str]) -> Translator:
    """Load the translator from a file that `facegeom train translate` wrote, in evaluation mode on the CPU.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or contains another network.
    """
    config, state = load_weights("the translator", TranslatorConfig, path)
    translator = Translator(config)
    load_state(translator, "the translator", state)
    return channels_last(translator.eval().requires_grad_(False))


def translate_images(translator: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Translate uint8 images (b, 3, S, S) on the translator's device; returns uint8 images of the same shape."""
    with torch.inference_mode():
        out = translator(image.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last))
    return out.add(1).mul(127.5).round().to(torch.uint8)
