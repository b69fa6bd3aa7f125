"""FaceVision-GAN's generator: one encoder and two decoders, from a photo to a depth map and a correspondence map.

Avola et al., FaceVision-GAN: A 3D Model Face Reconstruction Method from a Single Image Using GANs, section 3.1. The
paper gives no layer table. The encoder here is residual and halves the resolution in the first convolution, because the
maps are smooth and layers at full resolution would take most of the time. A new training also folds the photo: 2 x 2
pixels become one pixel with 12 channels, which makes training three times as fast. The network in the package does not
fold. The foreground is a mask channel of the depth decoder, not z = 0 as in the paper: after 21,600 training images the
depth error is 6.1 % with the mask and 13.9 % with z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.networks.devices import check_device
from facegeom.networks.interface import MAP_UNIT_MM, NetworkMaps, check_crops
from facegeom.networks.weights import load_state, load_weights

ModuleType = TypeVar("ModuleType", bound=nn.Module)
ZERO_DEPTH_OFFSET = 2.0  # in 100 mm; added to all depths with foreground="zero", so that only background has depth 0

FOLD = 2  # side length in pixels of the blocks that a new training stacks as channels of one pixel


@dataclass(frozen=True)
class FaceVisionConfig:
    """Configuration of the generator. The network is fully convolutional; `size` is the size of the training images."""

    size: int = 128  # side length of the input in pixels, a multiple of 32 fold
    fold: int = 1  # blocks of fold x fold pixels become one pixel; `FOLD` in a new training
    encoder_widths: tuple[int, ...] = (32, 96, 160, 192, 256)  # channels at 1/2, ..., 1/32 of the folded resolution
    encoder_blocks: tuple[int, ...] = (1, 2, 3, 2, 1)  # number of residual blocks at these resolutions
    decoder_widths: tuple[int, ...] = (32, 64, 96, 128)  # channels at 1/2, ..., 1/16 of the folded resolution
    foreground: str = "mask"  # "mask": a mask channel; "zero": depth 0 is background (paper)


class MapTensors(NamedTuple):
    """Maps that a network predicts for b crops, as float32 tensors in units of 100 mm; a map that the network does
    not predict is None.

    Attributes
    ----------
    depth : (b, S, S)
    correspondence : (b, 3, S, S)
    probability : (b, S, S), probability that a pixel shows the face
    position : (b, 2, S, S), x to the right and y up in the camera frame
    """

    depth: Tensor | None
    correspondence: Tensor | None
    probability: Tensor
    position: Tensor | None = None

    def coordinates(self) -> Tensor:
        """Return all available maps except the probability, concatenated, (b, c, S, S)."""
        depth = None if self.depth is None else self.depth[:, None]
        return torch.cat([maps for maps in (depth, self.correspondence, self.position) if maps is not None], 1)

    def arrays(self) -> NetworkMaps:
        """Return the maps as arrays in mm.

        Raises
        ------
        ValueError
            If depth or correspondence is None.
        """
        if self.depth is None or self.correspondence is None:
            raise ValueError("depth and correspondence are both required, got only one of them")
        position = None if self.position is None else _to_array_mm(self.position)
        probability = self.probability.cpu().numpy()
        depth = (self.depth.cpu() * MAP_UNIT_MM).numpy()
        return NetworkMaps(depth, _to_array_mm(self.correspondence), probability, position)


def _to_array_mm(maps: Tensor) -> Float32Array:
    """Convert (b, c, S, S) maps in 100 mm to a (b, S, S, c) array in mm."""
    return np.asarray((maps.cpu() * MAP_UNIT_MM).permute(0, 2, 3, 1).contiguous().numpy())


def channels_last(module: ModuleType) -> ModuleType:
    """Return the module with its weights in channels-last memory format, which makes convolutions on CPUs faster."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fold_pixels(image: Tensor, fold: int) -> Tensor:
    """Stack the pixels of blocks as channels: (b, c, S, S) -> (b, c fold^2, S / fold, S / fold)."""
    return image if fold == 1 else functional.pixel_unshuffle(image, fold)


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation, leaky ReLU: (b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.1, inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, to which the input is added (He et al. 2016): (b, width, h, w) -> (b, width, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvBlock(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x + self.second(self.first(x)), 0.1, inplace=True)


class Encoder(nn.ModuleList):
    """Residual encoder; each level halves the resolution: (b, c, S, S) -> levels at S / (2 fold), S / (4 fold), ..."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], fold: int = 1, channels: int = 3) -> None:
        super().__init__()
        self.fold = fold
        below = channels * fold**2
        for width, count in zip(widths, blocks, strict=True):
            self.append(nn.Sequential(ConvBlock(below, width, 4, 2), *(ResidualBlock(width) for _ in range(count))))
            below = width

    def forward(self, image: Tensor) -> list[Tensor]:
        levels = []
        x = fold_pixels(image, self.fold)
        for level in self:
            x = level(x)
            levels.append(x)
        return levels


class UpBlock(nn.Module):
    """Doubles the resolution: the upsampled input is added to an encoder level (skip connection), then convolved."""

    def __init__(self, below: int, side: int, width: int) -> None:
        super().__init__()
        self.reduce = ConvBlock(below, width, 1)
        self.side = ConvBlock(side, width, 1)
        self.join = ConvBlock(width, width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        up = functional.interpolate(self.reduce(x), scale_factor=2, mode="nearest")  # (b, c, 2h, 2w)
        return self.join(up + self.side(skip))


class Decoder(nn.Module):
    """Decoder with skip connections: levels of the encoder -> (b, outputs, S, S)."""

    def __init__(self, config: FaceVisionConfig, outputs: int) -> None:
        super().__init__()
        encoder, widths = config.encoder_widths, config.decoder_widths
        self.levels = nn.ModuleList()
        below = encoder[-1]
        for level in range(len(widths) - 1, -1, -1):
            self.levels.append(UpBlock(below, encoder[level], widths[level]))
            below = widths[level]
        self.head = nn.Sequential(
            nn.Conv2d(below, 4 * config.fold**2 * outputs, 3, 1, 1), nn.PixelShuffle(2 * config.fold)
        )

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = levels[-1]
        for level, skip in zip(self.levels, levels[-2::-1], strict=True):
            x = level(x, skip)
        return self.head(x)


class FaceVisionGenerator(nn.Module):
    """The generator: (b, 3, S, S) in [-1, 1] -> (b, 5, S, S).

    The channels are depth, correspondence x, y, z (in 100 mm) and the mask logit.
    """

    def __init__(self, config: FaceVisionConfig = FaceVisionConfig()) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder_widths, config.encoder_blocks, config.fold)
        self.depth_decoder = Decoder(config, 2)
        self.correspondence_decoder = Decoder(config, 3)

    def forward(self, image: Tensor) -> Tensor:
        levels = self.encoder(image)
        depth = self.depth_decoder(levels)  # (b, 2, S, S): depth, mask logit
        correspondence = self.correspondence_decoder(levels)  # (b, 3, S, S)
        return torch.cat([depth[:, :1], correspondence, depth[:, 1:]], 1)

    def maps(self, image: Tensor) -> MapTensors:
        """Return the maps of images (b, 3, S, S) in [-1, 1]."""
        return self.split_output(self(image).float())

    def split_output(self, out: Tensor) -> MapTensors:
        """Split the output (b, 5, S, S) of the generator into maps."""
        if self.config.foreground == "mask":
            return MapTensors(out[:, 0], out[:, 1:4], out[:, 4].sigmoid())
        probability = (out[:, 0] / ZERO_DEPTH_OFFSET).clamp(0, 1)
        return MapTensors(out[:, 0] - ZERO_DEPTH_OFFSET, out[:, 1:4], probability)


class FaceVision:
    """A trained generator, ready to predict the maps of crops."""

    def __init__(self, generator: FaceVisionGenerator, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.generator = channels_last(generator.eval().requires_grad_(False).to(self.device))
        self.size = generator.config.size

    def maps(self, image: Tensor) -> MapTensors:
        """Return the maps of images (b, 3, S, S) in [-1, 1] on the network's device; differentiable in the images."""
        return self.generator.maps(image)

    @one_thread()
    def predict(self, crops: ByteArray, *, mirror: bool = True) -> NetworkMaps:
        """Predict the maps of crops.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array
        mirror : bool
            True: average with the maps of the mirrored crop, mirrored back.

        Returns
        -------
        NetworkMaps
            Depth in mm in the camera frame, correspondence in mm on the mean face, probability of the face.

        Raises
        ------
        ValueError
            If the crops have another shape or type.
        """
        batch = crops_to_tensor(crops, self.size, self.device)
        with torch.inference_mode():
            out = self.generator(torch.cat([batch, batch.flip(3)]) if mirror else batch)
            if mirror:
                out = mirror_mean(out, (1,))
            return self.generator.split_output(out.float()).arrays()


def mirror_mean(maps: Tensor, mirrored_channels: tuple[int, ...]) -> Tensor:
    """Average the maps of images with the maps of the mirrored images, mirrored back: (2 b, c, S, S) -> (b, c, S, S).

    Parameters
    ----------
    maps : (2 b, c, S, S), the maps of b images, then those of their mirror images
    mirrored_channels : channels that change sign when the image is mirrored, such as x
    """
    direct, other = maps.chunk(2)
    other = other.flip(3)
    other[:, mirrored_channels] *= -1
    return (direct + other) / 2


def crops_to_tensor(crops: ByteArray, size: int, device: torch.device) -> Tensor:
    """Convert uint8 crops (b, S, S, 3) to the networks' input (b, 3, S, S) in [-1, 1], in channels-last memory format.

    Raises
    ------
    ValueError
        If S is not `size`, or the array is not uint8 or not four-dimensional.
    """
    check_crops(crops, size)
    image = torch.from_numpy(np.ascontiguousarray(crops)).to(device)
    return image.permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


@one_thread()
def load_facevision(device: str = "cpu") -> FaceVision:
    """Load the trained network of the package.

    Raises
    ------
    ValueError
        If the device is not available.
    WeightsError
        If the weight file is missing, damaged or has another configuration.
    """
    check_device(device)
    config, state = load_weights("facevision", FaceVisionConfig)
    generator = FaceVisionGenerator(config)
    load_state(generator, "facevision", state)
    return FaceVision(generator, device)
