"""The contour network: predicts the contours of the eyes and the lips from close crops of a face.

`contour_crop` defines the crops. The maps of a whole face show an eye in about 15 pixels, too few to tell a narrow eye
from a closed one; in its own crop an eye has about 35.
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
from facegeom.face_model.fitting import CONTOURS
from facegeom.networks.contour_crop import contour_answers, with_mirror_images
from facegeom.networks.devices import check_device
from facegeom.networks.interface import ContourAnswer, check_contour_crops
from facegeom.networks.weights import load_state, load_weights


@dataclass(frozen=True)
class ContourConfig:
    """Sizes of the network."""

    size: int = 64  # side of the crops in pixels
    widths: tuple[int, ...] = (24, 48, 96, 128)  # channels at 1/2, 1/4, 1/8 and 1/16 of the size
    hidden: int = 192  # width of the dense layers


class _Part(nn.Module):
    """Strided convolutions and a dense layer for one kind of crop."""

    def __init__(self, config: ContourConfig, points: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((3, *config.widths)):
            kernel = 5 if before == 3 else 3
            layers += [
                nn.Conv2d(before, after, kernel, 2, kernel // 2, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(True),
            ]
        cells = (config.size // 2 ** len(config.widths)) ** 2
        self.features = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(config.widths[-1] * cells, config.hidden, bias=False),
            nn.BatchNorm1d(config.hidden),
            nn.ReLU(True),
        )
        self.places = nn.Linear(config.hidden, 2 * points)
        self.log_deviation = nn.Linear(config.hidden, 1)
        for layer in (self.places, self.log_deviation):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.features(image)
        return 10.0 * self.places(x).float().unflatten(1, (-1, 2)), self.log_deviation(x).float().clamp(-3.0, 3.0)


class ContourNetwork(nn.Module):
    """Two small networks: one for both eyes, one for the lips."""

    def __init__(self, config: ContourConfig = ContourConfig()) -> None:
        super().__init__()
        self.config = config
        self.eye = _Part(config, len(CONTOURS[0]))
        self.lips = _Part(config, len(CONTOURS[2]))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the contours.

        Parameters
        ----------
        crops : (b, 3, 3, S, S) tensor in [-1, 1]
            The right eye, the left eye (mirrored) and the lips, with three colours each.

        Returns
        -------
        places : (b, 72, 2) tensor, mm from the centre of the crop of each contour
        log_deviation : (b, 3) tensor
            Logarithm of the mean absolute error, mm, of a point relative to the mean of its contour.
        """
        eyes, eye_deviation = self.eye(crops[:, :2].flatten(0, 1).contiguous(memory_format=torch.channels_last))
        lips, lips_deviation = self.lips(crops[:, 2].contiguous(memory_format=torch.channels_last))
        places = torch.cat([eyes.unflatten(0, (-1, 2)).flatten(1, 2), lips], 1)
        return places, torch.cat([eye_deviation.unflatten(0, (-1, 2)).flatten(1), lips_deviation], 1)


class ContourFinder:
    """The trained contour network; see `ContourPredictor`."""

    def __init__(self, network: ContourNetwork, device: torch.device) -> None:
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device

    @property
    def size(self) -> int:
        """Side of the crops in pixels."""
        return self.network.config.size

    @one_thread()
    @torch.inference_mode()
    def predict(self, crops: ByteArray) -> list[ContourAnswer]:
        """Predict the contours in crops (b, 3, S, S, 3), uint8; see `ContourPredictor.predict`."""
        check_contour_crops(crops, self.size)
        image = torch.from_numpy(np.ascontiguousarray(with_mirror_images(crops).transpose(0, 1, 4, 2, 3)))
        places, log_deviation = self.network(image.to(self.device).float().div(127.5).sub(1))
        return contour_answers(_numpy(places), _numpy(log_deviation))


def _numpy(values: Tensor) -> Float32Array:
    return np.asarray(values.cpu().numpy(), dtype=np.float32)


@load_once(maxsize=2)
def load_contours(device: str = "cpu", path: str | os.PathLike[str] | None = None) -> ContourFinder:
    """Load the contour network of the package, or the one at `path`; later calls return the same object.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another network.
    """
    config, state = load_weights("contours", ContourConfig, path)
    network = ContourNetwork(config)
    load_state(network, "contours", state)
    return ContourFinder(network, check_device(device))
