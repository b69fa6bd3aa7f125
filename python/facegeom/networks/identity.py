"""The identity network: predicts the identity coefficients of the face model from an aligned crop of a face.

`identity_crop` defines the crop, `identity_units` the unit of the prediction.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal.arrays import ByteArray
from facegeom._internal.threads import load_once, one_thread
from facegeom.face_model import load_face_model
from facegeom.networks.devices import check_device
from facegeom.networks.identity_units import ShapeUnits, answers, shape_units
from facegeom.networks.interface import IdentityAnswer, check_crops
from facegeom.networks.weights import load_state, load_weights


@dataclass(frozen=True)
class IdentityConfig:
    """Sizes of the network."""

    size: int = 128  # side of the input in pixels
    coefficients: int = 60  # predicted identity coefficients
    widths: tuple[int, ...] = (24, 40, 80, 128, 192)  # channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size
    hidden: int = 256  # width of the dense layer
    points: int = 128  # predicted points of the face


class IdentityTensors(NamedTuple):
    """Prediction of the network as tensors.

    Attributes
    ----------
    mean : (b, k), mm
    log_variance : (b, k), of squared mm
    points : (b, p, 2), mm: positions of the points in the crop (y down) minus those of the frontal mean face
    """

    mean: Tensor
    log_variance: Tensor
    points: Tensor


class IdentityNetwork(nn.Module):
    """Strided convolutions and dense layers, which keep the places of the features in the aligned crop.

    On the crop of a face, differences of the shape are shifts of a few pixels. Networks with residual blocks, or with a
    finer grid before the dense layer, learned about the same from the same number of images, and this one is the
    fastest. The positions of points are a second answer, which makes training faster, and which the fit uses, too.
    """

    def __init__(self, config: IdentityConfig = IdentityConfig()) -> None:
        super().__init__()
        self.config = config
        layers = [
            _halve(before, after, kernel=5 if before == 3 else 3) for before, after in pairwise((3, *config.widths))
        ]
        self.features = nn.Sequential(*layers)  # (b, w, S/32, S/32)
        cells = (config.size // 2 ** len(config.widths)) ** 2
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(config.widths[-1] * cells, config.hidden, bias=False),
            nn.BatchNorm1d(config.hidden),
            nn.ReLU(True),
        )
        self.answer = nn.Linear(config.hidden, 2 * config.coefficients)
        self.points = nn.Linear(config.hidden, 2 * config.points)
        for layer in (self.answer, self.points):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, photo: Tensor) -> IdentityTensors:
        """Predict the identity and the points from photos (b, 3, S, S) in [-1, 1]."""
        x = self.hidden(self.features(photo))  # (b, hidden)
        mean, log_variance = self.answer(x).float().chunk(2, 1)
        return IdentityTensors(mean, log_variance.clamp(-8.0, 4.0), self.points(x).float().unflatten(1, (-1, 2)))


def _halve(before: int, after: int, kernel: int) -> nn.Sequential:
    """Return a convolution that halves the resolution."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, 2, kernel // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)
    )


class Identity:
    """The identity network with the units of its prediction."""

    def __init__(self, network: IdentityNetwork, units: ShapeUnits, device: torch.device) -> None:
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.units = units
        self.device = device

    @property
    def size(self) -> int:
        """Side of the aligned crop in pixels."""
        return self.network.config.size

    @one_thread()
    @torch.inference_mode()
    def predict(self, crops: ByteArray, *, mirror: bool = True) -> list[IdentityAnswer]:
        """Predict the identity in aligned crops (b, S, S, 3), uint8; see `IdentityPredictor.predict`."""
        check_crops(crops, self.size)
        photo = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))).to(self.device).float()
        photo = photo.div(127.5).sub(1)
        if mirror:
            photo = torch.cat([photo, photo.flip(3)])
        out = self.network(photo.contiguous(memory_format=torch.channels_last))
        mean, log_variance, points = (values.cpu().numpy() for values in out)
        return answers(self.units, mean, log_variance, points, len(crops))


@load_once(maxsize=2)
def load_identity(device: str = "cpu", path: str | os.PathLike[str] | None = None) -> Identity:
    """Load the identity network of the package, or the one at `path`; later calls return the same object.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another network.
    """
    config, state = load_weights("identity", IdentityConfig, path)
    network = IdentityNetwork(config)
    load_state(network, "identity", state)
    return Identity(network, shape_units(load_face_model(), config.coefficients), check_device(device))
