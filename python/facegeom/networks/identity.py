"""The identity network: from an aligned crop of a face to the identity coefficients of the face model.

The outputs are in millimetres: each coefficient is multiplied by the root mean square change of shape that one standard
deviation of its component causes, without rotation, shift and scale, which a photo does not show. The crop is aligned:
rotated, scaled and shifted so that the 51 landmarks of brows, eyes, nose and mouth fit those of the mean face in the
same pose. The differences between faces are then differences between the crops and the mean face.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.networks.devices import check_device
from facegeom.networks.weights import load_state, load_weights

INNER_LANDMARKS = slice(17, 68)  # rows of the 68 landmarks: brows, nose, eyes and mouth, without the jaw
LANDMARKS = 51
LANDMARK_MM = 5.0  # unit of the output of the landmark layer, mm
FRAME_MM = 200.0  # side of the aligned crop; the face part of the mean is 179 mm high


@dataclass(frozen=True)
class IdentityConfig:
    """Sizes of the network."""

    size: int = 128  # side of the input in pixels
    coefficients: int = 60  # number of predicted identity coefficients
    widths: tuple[int, ...] = (24, 48, 96, 160, 224)  # channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input size
    blocks: tuple[int, ...] = (0, 0, 1, 1, 1)  # number of residual blocks at each of these sizes
    hidden: int = 224  # width of the last hidden layer
    dropout: float = 0.1  # dropout probability of the features before the hidden layer


class IdentityTensors(NamedTuple):
    """Outputs of the network.

    Attributes
    ----------
    mean : (b, k), mm
    log_variance : (b, k), of squared mm
    landmarks : (b, 51, 2), mm: positions of the landmarks in the crop, relative to those of the frontal mean face
    """

    mean: Tensor
    log_variance: Tensor
    landmarks: Tensor


class IdentityAnswer(NamedTuple):
    """Identity of a face as a Gaussian.

    Attributes
    ----------
    mean : (k,) float array, standard deviations of the face model
    deviation : (k,) float array, standard deviation of the error of `mean`, in the same unit
    """

    mean: FloatArray
    deviation: FloatArray


class ShapeUnits(NamedTuple):
    """Identity components as changes of shape.

    Attributes
    ----------
    vertices : (n,) int array, the vertices of the face part that maps show
    basis : (k, n, 3) float array, mm per standard deviation, without rotation, shift and scale
    scale : (k,) float array, mm: root mean square of each component of the basis over the vertices
    mirror : (k, k) float array; the mirror image of a face has the coefficients `mirror @ coefficients`
    """

    vertices: IntArray
    basis: FloatArray
    scale: FloatArray
    mirror: FloatArray

    def rms_mm(self, coefficients: FloatArray) -> FloatArray:
        """Return the root mean square change over the vertices that coefficients (..., k) make, (...) mm."""
        flat = self.basis.reshape(len(self.basis), -1)
        gram = flat @ flat.T / len(self.vertices)
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", coefficients, gram, coefficients)))


def shape_units(model: FaceModel, count: int = 60) -> ShapeUnits:
    """Return the leading identity components of a face model as changes of shape.

    Parameters
    ----------
    model : FaceModel
    count : components

    Notes
    -----
    Rotation, shift and scale are removed to first order about the mean face: the component of each change along these
    seven directions is subtracted.
    """
    vertices = np.flatnonzero(model.regions["map"][: model.face_vertex_count])
    identity = model.identity[:count].astype(np.float64)
    flat = identity[:, vertices].reshape(count, -1)
    mirrored = (identity[:, model.mirror] * np.array([-1.0, 1.0, 1.0]))[:, vertices].reshape(count, -1)
    mirror = np.linalg.lstsq(flat.T, mirrored.T, rcond=None)[0]
    rigid = np.linalg.qr(_similarity_directions(model.mean[vertices]).reshape(7, -1).T)[0]
    flat = flat - (flat @ rigid) @ rigid.T
    scale = np.sqrt((flat**2).sum(1) / len(vertices))
    return ShapeUnits(vertices, flat.reshape(count, -1, 3), scale, mirror)


def aligned_affine(
    model: FaceModel, landmarks: FloatArray, rotation: FloatArray, size: int, frame_mm: float = FRAME_MM
) -> FloatArray:
    """Return the similarity from pixels of a photo to pixels of the aligned crop.

    Parameters
    ----------
    model : FaceModel
    landmarks : (51, 2) float array, the landmarks without the jaw in pixels of the photo, y down
    rotation : (3, 3) float array, face frame to camera frame, as a fit gives it
    size : side of the crop in pixels
    frame_mm : side of the crop in mm of the mean face

    Returns
    -------
    (2, 3) float array
        In the crop, the landmarks of the mean face with this rotation, its roll removed, lie as near to the given ones
        as rotation, scale and shift can bring them (least squares).
    """
    template = aligned_template(model, rotation) * (size / frame_mm) + 0.5 * (size - 1)
    source, target = landmarks - landmarks.mean(0), template - template.mean(0)
    a = (source * target).sum()
    b = (source[:, 0] * target[:, 1] - source[:, 1] * target[:, 0]).sum()
    linear = np.array([[a, -b], [b, a]]) / (source**2).sum()
    return np.column_stack([linear, template.mean(0) - linear @ landmarks.mean(0)])


def aligned_template(model: FaceModel, rotation: FloatArray) -> FloatArray:
    """Return where the aligned crop shows the landmarks of the mean face, (51, 2) mm from its centre, y down."""
    roll = np.arctan2(rotation[0, 1], rotation[1, 1])
    cosine, sine = np.cos(roll), np.sin(roll)
    upright = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]) @ rotation
    points, centre = _mean_landmarks(model)
    return np.asarray(((points - centre) @ upright.T)[:, :2] * np.array([1.0, -1.0]))


@lru_cache(maxsize=2)
def _mean_landmarks(model: FaceModel) -> tuple[FloatArray, FloatArray]:
    """Return the 51 landmarks of the mean face, and the centre of the box of what maps show of it."""
    face = model.mean[: model.face_vertex_count][model.regions["map"][: model.face_vertex_count]]
    return model.mean[model.landmarks68[INNER_LANDMARKS]], 0.5 * (face.min(0) + face.max(0))


def _similarity_directions(points: FloatArray) -> FloatArray:
    """Return the changes (7, n, 3) of points that shifts, rotations and a scale make to first order."""
    directions = np.zeros((7, *points.shape))
    for axis in range(3):
        directions[axis, :, axis] = 1.0
        directions[3 + axis] = np.cross(np.eye(3)[axis], points - points.mean(0))
    directions[6] = points - points.mean(0)
    return directions


class Block(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_convolution(width, width), nn.ReLU(True), _convolution(width, width))
        self.activation = nn.ReLU(True)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        return torch.as_tensor(self.activation(x + self.layers(x)))


class IdentityNetwork(nn.Module):
    """Five convolutions with stride 2 and residual blocks, then two dense layers on the flattened feature map."""

    def __init__(self, config: IdentityConfig = IdentityConfig()) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 3
        for level, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            layers += [_convolution(before, width, kernel=5 if level == 0 else 3, stride=2), nn.ReLU(True)]
            layers += [Block(width) for _ in range(blocks)]
            before = width
        self.features = nn.Sequential(*layers)
        cells = (config.size // 2 ** len(config.widths)) ** 2
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(before * cells, config.hidden, bias=False),
            nn.BatchNorm1d(config.hidden),  # without it, all units of this layer died in the first thousand steps
            nn.ReLU(True),
        )
        self.answer = nn.Linear(config.hidden, 2 * config.coefficients)
        self.landmarks = nn.Linear(config.hidden, 2 * LANDMARKS)

    def forward(self, photo: Tensor) -> IdentityTensors:
        """Return the outputs for photos (b, 3, S, S) in [-1, 1]."""
        x = self.head(self.features(photo))  # (b, hidden)
        mean, log_variance = self.answer(x).float().chunk(2, 1)
        landmarks = LANDMARK_MM * self.landmarks(x).float().view(-1, LANDMARKS, 2)
        return IdentityTensors(mean, log_variance.clamp(-8.0, 4.0), landmarks)


def _convolution(before: int, after: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(after),
    )


class Identity:
    """An identity network with the units of its outputs."""

    def __init__(self, network: IdentityNetwork, model: FaceModel, device: torch.device) -> None:
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.units = shape_units(model, network.config.coefficients)
        self.device = device

    @property
    def size(self) -> int:
        """Side of the aligned crop in pixels."""
        return self.network.config.size

    @torch.inference_mode()
    def predict(self, crops: np.ndarray, *, mirror: bool = True) -> list[IdentityAnswer]:
        """Return the identity of each aligned crop.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array, RGB, made with `aligned_affine`
        mirror : whether to average the outputs for the crop and for its mirror image
        """
        photo = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))).to(self.device).float()
        photo = photo.div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        out = self.network(photo)
        mean = out.mean.double().cpu().numpy() / self.units.scale
        deviation = torch.exp(0.5 * out.log_variance).double().cpu().numpy() / self.units.scale
        if mirror:
            flipped = self.network(photo.flip(3)).mean.double().cpu().numpy() / self.units.scale
            mean = 0.5 * (mean + flipped @ self.units.mirror.T)
        return [IdentityAnswer(m, d) for m, d in zip(mean, deviation, strict=True)]


@lru_cache(maxsize=2)
def load_identity(device: str = "cpu", path: str | os.PathLike[str] | None = None) -> Identity:
    """Return the shipped identity network, or the one at `path`; loaded once per process.

    Raises
    ------
    WeightsError
        When the file is missing or damaged, or belongs to another network.
    """
    from facegeom.face_model import load_face_model

    config, state = load_weights("identity", IdentityConfig, path)
    network = IdentityNetwork(config)
    load_state(network, "identity", state)
    return Identity(network, load_face_model(), check_device(device))
