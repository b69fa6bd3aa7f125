"""The generator that makes rendered faces look like photos: a small residual U-Net, image to image.

Sela, Richardson, Kimmel: Unrestricted Facial Geometry Reconstruction Using Image-to-Image Translation (2017), section
5, the application "the network as a geometric loss". The paper describes no architecture; this one predicts the change
of the image (as Shrivastava et al. 2017, its reference 38, refine theirs) and begins as the identity. Group
normalisation keeps nothing of other images, so that one image is translated as a batch of them is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.facevision import channels_last
from facegeom.networks.weights import fill, load_weights

GROUP = 8  # channels that are normalised together


@dataclass(frozen=True)
class TranslatorConfig:
    """Sizes of the translator; it is fully convolutional."""

    width: int = 16  # channels at full size, a multiple of 8; twice and four times as many at half and quarter size
    blocks: int = 4  # residual blocks at quarter size


class Layer(nn.Sequential):
    """Convolution, group normalisation, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False),
            nn.GroupNorm(outputs // GROUP, outputs),
            nn.LeakyReLU(0.1, inplace=True),
        )


class Block(nn.Module):
    """Two 3x3 convolutions and the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = Layer(width, width), nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Translator(nn.Module):
    """Images (b, 3, S, S) in [-1, 1], S a multiple of 4, to such images."""

    def __init__(self, config: TranslatorConfig = TranslatorConfig()) -> None:
        super().__init__()
        width = config.width
        if width < GROUP or width % GROUP:
            raise ValueError(f"width must be a multiple of {GROUP}, got {width}")
        self.config = config
        self.enter = Layer(3, width)
        self.down = Layer(width, 2 * width, 4, 2)
        self.down_again = Layer(2 * width, 4 * width, 4, 2)
        self.blocks = nn.Sequential(*(Block(4 * width) for _ in range(config.blocks)))
        self.up = Layer(4 * width, 2 * width)
        self.up_again = Layer(2 * width, width)
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
    """Return the translator in a file of `facegeom train translate`, ready to use on the CPU.

    Raises
    ------
    WeightsError
        When the file is missing, damaged or of another network.
    """
    config, state = load_weights("the translator", TranslatorConfig, path)
    translator = Translator(config)
    fill(translator, "the translator", state)
    return channels_last(translator.eval().requires_grad_(False))


def translated(translator: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Return images (b, 3, S, S) uint8 on the translator's device translated, uint8 as well."""
    with torch.inference_mode():
        out = translator(image.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last))
    return out.add(1).mul(127.5).round().to(torch.uint8)
