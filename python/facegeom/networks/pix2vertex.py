"""Pix2vertex's networks: a photo to x, y, z of each pixel in the camera frame, and to its correspondence.

Sela, Richardson, Kimmel: Unrestricted Facial Geometry Reconstruction Using Image-to-Image Translation (2017),
section 3.2 and supplement A: the U-Net of Isola et al. 2017 with three layers of 1x1 convolutions behind it, once for
each kind of map.

Decisions where the paper is silent or at odds with itself:

- The paper lists the decoder as CD512-CD512-CD512-C512-C512-C256-C128-C64, as the appendix of Isola et al. does. Taken
  block by block with skips it would have 61.4 M parameters and widths that differ from those they are joined with; the
  code of Isola et al., whose 54 M are the known size, mirrors the encoder instead: each block has as many channels as
  the level of the encoder that it is joined with, and the last one as many as the first level. So does this.
- Batch normalisation and leaky slopes as Isola et al. have them: none in the first and the innermost encoder level.
- The encoder has eight levels from 256 pixels up and down to 2 x 2 pixels below, log2(size) - 1 levels.
- The fourth channel is a mask logit; the paper has three coordinates in four channels and does not say what is in the
  fourth. Outside the mask the coordinates mean nothing.
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
from facegeom.errors import WeightsError
from facegeom.networks.devices import check_device
from facegeom.networks.facevision import MapTensors, NetworkMaps, channels_last, crops_as_batch
from facegeom.networks.weights import load_weights

PAPER_WIDTH = 64
WIDEST = 8  # times the first level's channels
DROPOUT_BLOCKS = 3

OUTPUTS = {"geometry": 4, "correspondence": 4, "joint": 7}
"""Channels of each kind of network, the last a mask logit: (x, y, z), (x, y, z on the mean face), or both."""

MIRRORED = {"geometry": (0,), "correspondence": (0,), "joint": (0, 3)}
"""Channels that change sign when the photo is mirrored."""


@dataclass(frozen=True)
class Pix2VertexConfig:
    """Sizes of the networks."""

    size: int = 128  # side of the input in pixels; the paper has 512. Networks do not scale to other sizes than this
    width: int = 24  # channels of the first level, 64 in the paper; 24 makes two networks of 128 pixels 16.6 MB
    networks: tuple[str, ...] = ("geometry", "correspondence")  # keys of `OUTPUTS`; the paper prefers separate ones
    dropout: float = 0.5  # of the first three decoder blocks, while training


def level_count(size: int) -> int:
    """Return the levels of the encoder: eight from 256 pixels up, down to 2 x 2 pixels (or 3 x 3) below.

    Raises
    ------
    ValueError
        When the size cannot be halved so often.

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


class Down(nn.Sequential):
    """Ck of the encoder: half the size."""

    def __init__(self, inputs: int, outputs: int, normalised: bool) -> None:
        convolution = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not normalised)
        norm = [nn.BatchNorm2d(outputs)] if normalised else []
        super().__init__(convolution, *norm, nn.LeakyReLU(0.2, inplace=True))


class Up(nn.Sequential):
    """Ck of the decoder, or CDk with dropout: twice the size."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        drop = [nn.Dropout(dropout)] if dropout > 0 else []
        super().__init__(
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *drop,
            nn.ReLU(inplace=True),
        )


class Pointwise(nn.Sequential):
    """C*k: a 1x1 convolution at full size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class MapUNet(nn.Module):
    """Supplement A's network: (b, 3, S, S) in [-1, 1] -> (b, outputs, S, S)."""

    def __init__(self, size: int, width: int, outputs: int, dropout: float = 0.5) -> None:
        super().__init__()
        levels = level_count(size)
        widths = [width * min(2**level, WIDEST) for level in range(levels)]  # C64-C128-C256-C512-...
        self.encoder = nn.ModuleList(
            Down(below, here, 0 < level < levels - 1)
            for level, (below, here) in enumerate(zip([3, *widths], widths, strict=False))
        )
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for block, here in enumerate([*reversed(widths[:-1]), width]):
            self.decoder.append(Up(below, here, dropout if block < DROPOUT_BLOCKS else 0.0))
            below = 2 * here  # joined with the encoder's level of the same size
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
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 has steps of 0.4 mm here, which bend the normals
            return self.head[-1](x.float())  # (b, outputs, S, S)


class Pix2VertexNetworks(nn.Module):
    """The networks of one configuration, side by side: (b, 3, S, S) in [-1, 1] -> name -> (b, outputs, S, S)."""

    def __init__(self, config: Pix2VertexConfig = Pix2VertexConfig()) -> None:
        super().__init__()
        if not config.networks or not set(config.networks) <= set(OUTPUTS):
            raise ValueError(f"networks must be some of {', '.join(OUTPUTS)}, got {config.networks}")
        self.config = config
        self.networks = nn.ModuleDict(
            {name: MapUNet(config.size, config.width, OUTPUTS[name], config.dropout) for name in config.networks}
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {name: network(image) for name, network in self.networks.items()}

    def maps(self, image: Tensor) -> MapTensors:
        """Return the maps of (b, 3, S, S) images in [-1, 1]."""
        return join_maps(self(image))


def join_maps(out: dict[str, Tensor]) -> MapTensors:
    """Return what the networks say together; the probability of the face is the mean of theirs."""
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
    """Trained networks that together say geometry and correspondence, ready to look at crops."""

    def __init__(self, networks: Pix2VertexNetworks, device: str = "cpu") -> None:
        names = set(networks.config.networks)
        if "joint" not in names and not {"geometry", "correspondence"} <= names:
            raise ValueError(f"geometry and correspondence are needed, got {', '.join(networks.config.networks)} alone")
        self.device = torch.device(device)
        self.networks = channels_last(networks.eval().requires_grad_(False).to(self.device))
        self.size = networks.config.size

    def maps(self, image: Tensor) -> MapTensors:
        """Return the maps of (b, 3, S, S) images in [-1, 1] on the networks' device; gradients reach the images."""
        return self.networks.maps(image)

    def predict(self, crops: ByteArray, *, mirror: bool = True) -> NetworkMaps:
        """Return the maps of crops.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array
            Of the size that the networks were trained at: they do not scale to others (supplement A).
        mirror : average with the maps of the mirrored crop, turned back

        Returns
        -------
        NetworkMaps
            With the position; `read_placement` takes the face's scale from it.

        Raises
        ------
        ValueError
            When the crops are of another size or kind.
        """
        batch = crops_as_batch(crops, self.size, self.device)
        with torch.inference_mode():
            out: dict[str, Tensor] = self.networks(torch.cat([batch, batch.flip(3)]) if mirror else batch)
            if mirror:
                out = {name: _mirror_mean(maps, MIRRORED[name]) for name, maps in out.items()}
            return join_maps(out).arrays()


def _mirror_mean(maps: Tensor, mirrored: tuple[int, ...]) -> Tensor:
    """Return the mean of the maps of b crops and of those of their mirror images, which follow them."""
    direct, other = maps.chunk(2)
    other = other.flip(3)
    other[:, mirrored] *= -1
    return (direct + other) / 2


class Placement(NamedTuple):
    """Where the face lies in its crop: pixels per mm, and column and row onto which its origin falls."""

    scale: float
    origin: tuple[float, float]


def read_placement(position: Float32Array, mask: BoolArray) -> Placement:
    """Read the face's scale off the predicted x and y (supplement A, third point).

    Parameters
    ----------
    position : (S, S, 2) float array, x to the right and y up, mm from the face's origin
    mask : (S, S) bool array, where they count

    Returns
    -------
    Placement
        The least-squares solution of x = (column - origin column) / scale and y = (origin row - row) / scale over the
        pixels of the mask. The errors are taken in x and y, in mm: the pixel grid is exact, the prediction is not.

    Raises
    ------
    ValueError
        When the mask is smaller than two pixels or the positions do not grow across it.

    Examples
    --------
    >>> rows, columns = np.indices((4, 4))
    >>> position = np.stack([(columns - 1.0) / 2, (3.0 - rows) / 2], axis=-1)
    >>> read_placement(position, np.ones((4, 4), bool))
    Placement(scale=2.0, origin=(1.0, 3.0))
    """
    step = position_step(position, mask)
    if not step > 0:
        raise ValueError(f"no scale can be read off the positions of {int(np.count_nonzero(mask))} pixels")
    row, column = (float(v.mean()) for v in np.nonzero(mask))
    x, y = (float(v) for v in np.asarray(position, np.float64)[mask].mean(axis=0))
    return Placement(1.0 / step, (column - x / step, row + y / step))


def position_step(position: Float32Array, mask: BoolArray) -> float:
    """Return the least-squares growth of the positions a pixel, in their unit; NaN where the mask has no extent."""
    rows, columns = np.nonzero(mask)
    if len(rows) < 2:
        return float("nan")
    x, y = np.asarray(position, np.float64)[mask].T
    across, up = columns - columns.mean(), rows.mean() - rows
    return float((across @ x + up @ y) / (across @ across + up @ up))


def load_pix2vertex(device: str = "cpu", path: str | os.PathLike[str] | None = None) -> Pix2Vertex:
    """Return the trained networks that the package ships, or those in the file at `path`.

    Raises
    ------
    WeightsError
        When the weight file is missing, damaged or of another configuration.
    """
    check_device(device)
    config, state = load_weights("pix2vertex", Pix2VertexConfig, path)
    try:
        networks = Pix2VertexNetworks(config)
        networks.load_state_dict(state)
        return Pix2Vertex(networks, device)
    except ValueError as error:
        raise WeightsError(f"the weights of pix2vertex cannot be used: {error}") from error
    except RuntimeError as error:
        raise WeightsError("the weights of pix2vertex are of another version of the network") from error
