"""Pix2vertex's networks: from a photo to the camera-frame x, y, z of each pixel, and to its correspondence.

Sela, Richardson, Kimmel: Unrestricted Facial Geometry Reconstruction Using Image-to-Image Translation (2017), section
3.2 and supplement A: the U-Net of Isola et al. 2017 followed by three layers of 1x1 convolutions, one network for each
kind of map.

Decisions where the paper is silent or contradicts itself:

- The paper lists the decoder as CD512-CD512-CD512-C512-C512-C256-C128-C64, like the appendix of Isola et al.
  Implemented literally with skip connections, it would have 61.4 M parameters and blocks whose widths differ from the
  encoder levels they are concatenated with. The code of Isola et al. has the known 54 M parameters and mirrors the
  encoder instead: each block has as many channels as the encoder level that it is concatenated with, and the last one
  as many as the first level. This file does the same.
- Batch normalisation and leaky slopes are those of Isola et al.: no normalisation in the first and the innermost
  encoder level.
- The encoder has eight levels for inputs of 256 pixels or more, and log2(size) - 1 levels, down to 2 x 2 pixels, below.
- The fourth channel is a mask logit. The paper has four channels for three coordinates and does not describe the
  fourth. Outside the mask the coordinates are undefined.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.errors import WeightsError
from facegeom.networks.devices import check_device
from facegeom.networks.facevision import MapTensors, channels_last, crops_to_tensor, mirror_mean
from facegeom.networks.interface import NetworkMaps
from facegeom.networks.weights import load_state, load_weights

PAPER_WIDTH = 64
MAX_WIDTH_FACTOR = 8  # maximum ratio of the channels of a level to the channels of the first level
DROPOUT_BLOCKS = 3  # number of decoder blocks with dropout, from the innermost

OUTPUT_CHANNELS = {"geometry": 4, "correspondence": 4, "joint": 7}
"""Number of output channels of each kind of network: x, y, z; x, y, z on the mean face; or both; plus a mask logit."""

MIRRORED_CHANNELS = {"geometry": (0,), "correspondence": (0,), "joint": (0, 3)}
"""Indices of the output channels that change sign when the photo is mirrored."""


@dataclass(frozen=True)
class Pix2VertexConfig:
    """Configuration of the networks."""

    size: int = 128  # side length of the input in pixels (paper: 512); a trained network needs this size
    width: int = 24  # channels of the first level (paper: 64); with 24, two networks for 128 pixels are 16.6 MB
    networks: tuple[str, ...] = (
        "geometry",
        "correspondence",
    )  # one network for each of these keys of `OUTPUT_CHANNELS`, as in the paper
    dropout: float = 0.5  # dropout probability in the first three decoder blocks during training


def level_count(size: int) -> int:
    """Return the number of encoder levels: eight for 256 pixels or more, else as many as end at 2 x 2 (or 3 x 3)
    pixels.

    Raises
    ------
    ValueError
        If the size cannot be halved as many times as there are levels.

    Examples
    --------
    >>> [level_count(size) for size in (64, 128, 192, 256, 512)]
    [5, 6, 6, 8, 8]
    """
    size = check.count(size, "size", 16)
    levels = 8 if size >= 256 else int(math.log2(size)) - 1
    if size % 2**levels:
        raise ValueError(f"size must be a multiple of {2**levels} for {levels} levels, got {size}")
    return levels


class EncoderBlock(nn.Sequential):
    """Ck of the encoder: halves the resolution, (b, inputs, h, w) -> (b, outputs, h / 2, w / 2)."""

    def __init__(self, inputs: int, outputs: int, normalised: bool) -> None:
        convolution = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not normalised)
        norm = [nn.BatchNorm2d(outputs)] if normalised else []
        super().__init__(convolution, *norm, nn.LeakyReLU(0.2, inplace=True))


class DecoderBlock(nn.Sequential):
    """Ck of the decoder, or CDk with dropout: doubles the resolution, (b, inputs, h, w) -> (b, outputs, 2 h, 2 w)."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        drop = [nn.Dropout(dropout)] if dropout > 0 else []
        super().__init__(
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *drop,
            nn.ReLU(inplace=True),
        )


class Pointwise(nn.Sequential):
    """C*k of supplement A: a 1x1 convolution at full resolution, (b, inputs, S, S) -> (b, outputs, S, S)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class MapUNet(nn.Module):
    """The network of supplement A: (b, 3, S, S) in [-1, 1] -> (b, outputs, S, S)."""

    def __init__(self, size: int, width: int, outputs: int, dropout: float = 0.5) -> None:
        super().__init__()
        levels = level_count(size)
        widths = [width * min(2**level, MAX_WIDTH_FACTOR) for level in range(levels)]  # C64-C128-C256-C512-...
        self.encoder = nn.ModuleList(
            EncoderBlock(below, here, 0 < level < levels - 1)
            for level, (below, here) in enumerate(zip([3, *widths], widths, strict=False))
        )
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for block, here in enumerate([*reversed(widths[:-1]), width]):
            self.decoder.append(DecoderBlock(below, here, dropout if block < DROPOUT_BLOCKS else 0.0))
            below = 2 * here  # concatenated with the encoder level of the same resolution
        self.head = nn.Sequential(
            Pointwise(width, width), Pointwise(width, width // 2), nn.Conv2d(width // 2, outputs, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        levels = []
        x = image  # (b, 3, S, S)
        for down in self.encoder:
            x = down(x)
            levels.append(x)  # (b, width 2^i, S / 2^(i+1), S / 2^(i+1))
        x = self.decoder[0](x)
        for up, skip in zip(self.decoder[1:], levels[-2::-1], strict=True):
            x = up(torch.cat([x, skip], 1))
        x = self.head[:-1](x)
        # bfloat16 would round positions to 0.4 mm and distort the normals.
        with torch.autocast(x.device.type, enabled=False):
            return self.head[-1](x.float())  # (b, outputs, S, S)


class Pix2VertexNetworks(nn.Module):
    """The networks of one configuration: (b, 3, S, S) in [-1, 1] -> mapping from name to (b, outputs, S, S).

    Raises
    ------
    ValueError
        If the configuration names no network or an unknown one.
    """

    def __init__(self, config: Pix2VertexConfig = Pix2VertexConfig()) -> None:
        super().__init__()
        if not config.networks or not set(config.networks) <= set(OUTPUT_CHANNELS):
            raise ValueError(f"networks must be some of {', '.join(OUTPUT_CHANNELS)}, got {config.networks}")
        self.config = config
        self.networks = nn.ModuleDict(
            {
                name: MapUNet(config.size, config.width, OUTPUT_CHANNELS[name], config.dropout)
                for name in config.networks
            }
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {name: network(image) for name, network in self.networks.items()}

    def maps(self, image: Tensor) -> MapTensors:
        """Return the maps of images (b, 3, S, S) in [-1, 1]."""
        return combine_outputs(self(image))


def combine_outputs(out: dict[str, Tensor]) -> MapTensors:
    """Combine the outputs of all networks into maps; the probability of the face is the mean over the networks."""
    out = {name: maps.float() for name, maps in out.items()}
    position = depth = correspondence = None
    if "joint" in out:
        position, depth, correspondence = out["joint"][:, :2], out["joint"][:, 2], out["joint"][:, 3:6]
    if "geometry" in out:
        position, depth = out["geometry"][:, :2], out["geometry"][:, 2]
    if "correspondence" in out:
        correspondence = out["correspondence"][:, :3]
    probability = torch.stack([maps[:, -1].sigmoid() for maps in out.values()]).mean(0)
    return MapTensors(depth, correspondence, probability, position)


class Pix2Vertex:
    """Trained networks that together predict geometry and correspondence, ready to predict the maps of crops.

    Raises
    ------
    ValueError
        If the networks do not predict both geometry and correspondence.
    """

    def __init__(self, networks: Pix2VertexNetworks, device: str = "cpu") -> None:
        names = networks.config.networks
        if "joint" not in names and not {"geometry", "correspondence"} <= set(names):
            raise ValueError(f"geometry and correspondence are both required, got only {', '.join(names)}")
        self.device = torch.device(device)
        self.networks = channels_last(networks.eval().requires_grad_(False).to(self.device))
        self.size = networks.config.size

    def maps(self, image: Tensor) -> MapTensors:
        """Return the maps of images (b, 3, S, S) in [-1, 1] on the networks' device; differentiable in the images."""
        return self.networks.maps(image)

    @one_thread()
    def predict(self, crops: ByteArray, *, mirror: bool = True) -> NetworkMaps:
        """Predict the maps of crops.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array
            S is the size of the training images: the networks do not work at other sizes (supplement A).
        mirror : bool
            True: average with the maps of the mirrored crop, mirrored back.

        Returns
        -------
        NetworkMaps
            The maps, including `position`, from which `placement_from_positions` computes the scale of the face.

        Raises
        ------
        ValueError
            If the crops have another shape or type.
        """
        batch = crops_to_tensor(crops, self.size, self.device)
        with torch.inference_mode():
            out: dict[str, Tensor] = self.networks(torch.cat([batch, batch.flip(3)]) if mirror else batch)
            if mirror:
                out = {name: mirror_mean(maps, MIRRORED_CHANNELS[name]) for name, maps in out.items()}
            return combine_outputs(out).arrays()


class CropPlacement(NamedTuple):
    """Scale and position of the face in its crop.

    Attributes
    ----------
    scale : float, pixels per mm
    origin : (column, row) of the crop to which the face's origin projects, pixels
    """

    scale: float
    origin: tuple[float, float]


def placement_from_positions(position: Float32Array, mask: BoolArray) -> CropPlacement:
    """Compute the scale and position of a face from the predicted x and y of its pixels (supplement A, third point).

    Parameters
    ----------
    position : (S, S, 2) float array, x to the right and y up, mm from the face's origin
    mask : (S, S) bool array, the pixels to use

    Returns
    -------
    CropPlacement
        The least-squares solution of x = (column - origin column) / scale and y = (origin row - row) / scale over the
        pixels of the mask. The residuals are in x and y, in mm, because the pixel coordinates are exact and the
        predictions are not.

    Raises
    ------
    ValueError
        If the mask has fewer than two pixels, or the positions do not increase across it.

    Examples
    --------
    >>> rows, columns = np.indices((4, 4))
    >>> position = np.stack([(columns - 1.0) / 2, (3.0 - rows) / 2], axis=-1)
    >>> placement_from_positions(position, np.ones((4, 4), bool))
    CropPlacement(scale=2.0, origin=(1.0, 3.0))
    """
    step = position_per_pixel(position, mask)
    if not step > 0:
        raise ValueError(f"the positions of {int(np.count_nonzero(mask))} pixels do not determine a scale")
    row, column = (float(v.mean()) for v in np.nonzero(mask))
    x, y = (float(v) for v in np.asarray(position, np.float64)[mask].mean(axis=0))
    return CropPlacement(1.0 / step, (column - x / step, row + y / step))


def position_per_pixel(position: Float32Array, mask: BoolArray) -> float:
    """Return the least-squares change of position per pixel, in the unit of `position`; NaN for under two pixels."""
    rows, columns = np.nonzero(mask)
    if len(rows) < 2:
        return float("nan")
    x, y = np.asarray(position, np.float64)[mask].T
    across, up = columns - columns.mean(), rows.mean() - rows
    return float((across @ x + up @ y) / (across @ across + up @ up))


@one_thread()
def load_pix2vertex(path: str | os.PathLike[str], device: str = "cpu") -> Pix2Vertex:
    """Load trained networks from a weight file of `facegeom train pix2vertex`; the package has none.

    Raises
    ------
    ValueError
        If the device is not available.
    WeightsError
        If the weight file is missing, damaged or has another configuration.
    """
    check_device(device)
    config, state = load_weights("pix2vertex", Pix2VertexConfig, path)
    try:
        networks = Pix2VertexNetworks(config)
        load_state(networks, "pix2vertex", state)
        return Pix2Vertex(networks, device)
    except ValueError as error:
        raise WeightsError(f"the weights of pix2vertex cannot be used: {error}") from error
