"""The identity network: predicts the identity coefficients of the face model from an aligned crop of a face.

Unit of the prediction: each coefficient is multiplied by the root mean square displacement (mm) that one standard
deviation of its component causes. Rotation, translation and scale are removed from the component first, because a photo
does not show them.

Aligned crop: rotated, scaled and translated so that the 51 landmarks of the brows, eyes, nose and mouth fit those of
the mean face in the same pose. Then the identity is visible as the difference between the crop and the mean face.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.threads import load_once, one_thread
from facegeom.face_model import FaceModel
from facegeom.face_model.fitting import FitPrior
from facegeom.images.crop import warp_image
from facegeom.networks.devices import check_device
from facegeom.networks.weights import load_state, load_weights

INNER_LANDMARKS = slice(17, 68)  # of the 68 points: brows, nose, eyes and mouth, without the jaw
FRAME_MM = 200.0  # side of the aligned crop; the face part of the mean is 179 mm high


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


class IdentityAnswer(NamedTuple):
    """Predicted identity of a face: a normal distribution of each coefficient.

    Attributes
    ----------
    mean : (k,) float array, standard deviations of the face model
    deviation : (k,) float array, standard deviation of the error, in the same unit
    """

    mean: FloatArray
    deviation: FloatArray


class ShapeUnits(NamedTuple):
    """Identity components as displacements of the face, without rotation, translation and scale.

    Attributes
    ----------
    vertices : (n,) int array, vertices of the face part that the depth map shows
    basis : (k, n, 3) float array, mm per standard deviation
    scale : (k,) float array, mm: root mean square of each component of the basis over the vertices
    mirror : (k, k) float array; the mirror image of a face has the coefficients `mirror @ coefficients`
    """

    vertices: IntArray
    basis: FloatArray
    scale: FloatArray
    mirror: FloatArray

    def rms_mm(self, coefficients: FloatArray) -> FloatArray:
        """Return the root mean square displacement of the vertices for coefficients (..., k), (...) mm."""
        flat = self.basis.reshape(len(self.basis), -1)
        gram = flat @ flat.T / len(self.vertices)
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", coefficients, gram, coefficients)))


def shape_units(model: FaceModel, count: int = 60) -> ShapeUnits:
    """Return the first identity components of a face model as displacements.

    Parameters
    ----------
    model : FaceModel
    count : int
        Number of components.

    Notes
    -----
    Rotation, translation and scale are removed to first order at the mean face: each component is projected onto the
    space orthogonal to these seven directions.
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
    """Return the similarity transform from pixels of a photo to pixels of the aligned crop.

    Parameters
    ----------
    model : FaceModel
    landmarks : (51, 2) float array, the landmarks without the jaw in pixels of the photo, y down
    rotation : (3, 3) float array, face frame to camera frame, for example of a fit
    size : side of the crop in pixels
    frame_mm : side of the crop in mm of the mean face

    Returns
    -------
    (2, 3) float array
        Least-squares fit of the landmarks to those of the mean face, which has the same rotation but no roll.
    """
    template = aligned_template(model, rotation) * (size / frame_mm) + 0.5 * (size - 1)
    source, target = landmarks - landmarks.mean(0), template - template.mean(0)
    a = (source * target).sum()
    b = (source[:, 0] * target[:, 1] - source[:, 1] * target[:, 0]).sum()
    linear = np.array([[a, -b], [b, a]]) / (source**2).sum()
    return np.column_stack([linear, template.mean(0) - linear @ landmarks.mean(0)])


def aligned_template(model: FaceModel, rotation: FloatArray, vertices: IntArray | None = None) -> FloatArray:
    """Return the positions of vertices of the mean face in the aligned crop, (v, 2) mm from its centre, y down.

    Parameters
    ----------
    model : FaceModel
    rotation : (3, 3) float array, face frame to camera frame; its roll is removed
    vertices : (v,) int array, optional
        By default the 51 landmarks without the jaw.
    """
    roll = np.arctan2(rotation[0, 1], rotation[1, 1])
    cosine, sine = np.cos(roll), np.sin(roll)
    upright = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]) @ rotation
    points, centre = _mean_landmarks(model)
    if vertices is not None:
        points = model.mean[vertices]
    return np.asarray(((points - centre) @ upright.T)[:, :2] * np.array([1.0, -1.0]))


@load_once(maxsize=2)
def _mean_landmarks(model: FaceModel) -> tuple[FloatArray, FloatArray]:
    """Return the 51 landmarks of the mean face, and the centre of the bounding box of its visible part."""
    face = model.mean[: model.face_vertex_count][model.regions["map"][: model.face_vertex_count]]
    return model.mean[model.landmarks68[INNER_LANDMARKS]], 0.5 * (face.min(0) + face.max(0))


@load_once(maxsize=2)
def face_points(model: FaceModel, count: int = 128) -> IntArray:
    """Return vertices distributed over the face, (count,): those of the left half, then their mirror images.

    The landmarks of the left half come first. The others are selected by farthest point sampling.
    """
    half = count // 2
    allowed = np.flatnonzero(model.regions["map"][: model.face_vertex_count])
    allowed = allowed[model.mean[allowed, 0] > 0.5]
    chosen = [int(v) for v in dict.fromkeys(model.landmarks68[INNER_LANDMARKS]) if model.mean[v, 0] > 0.5][:half]
    places = model.mean[allowed]
    distance = np.linalg.norm(places[:, None] - model.mean[chosen], axis=2).min(1)
    while len(chosen) < half:
        farthest = int(distance.argmax())
        chosen.append(int(allowed[farthest]))
        distance = np.minimum(distance, np.linalg.norm(places - places[farthest], axis=1))
    left = np.array(chosen, dtype=np.int64)
    return np.concatenate([left, model.mirror[left]])


def _similarity_directions(points: FloatArray) -> FloatArray:
    """Return the displacements (7, n, 3) of points under translations, rotations and scaling, to first order."""
    directions = np.zeros((7, *points.shape))
    for axis in range(3):
        directions[axis, :, axis] = 1.0
        directions[3 + axis] = np.cross(np.eye(3)[axis], points - points.mean(0))
    directions[6] = points - points.mean(0)
    return directions


class IdentityNetwork(nn.Module):
    """Strided convolutions and dense layers, which keep the places of the features in the aligned crop.

    On the crop of a face, differences of the shape are shifts of a few pixels. Networks with residual blocks, or with a
    finer grid before the dense layer, learned about the same from the same number of images, and this one is the
    fastest. The positions of points are a second answer, which makes training faster.
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

    def __init__(self, network: IdentityNetwork, model: FaceModel, device: torch.device) -> None:
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model, self.units = model, shape_units(model, network.config.coefficients)
        self.device = device

    @property
    def size(self) -> int:
        """Side of the aligned crop in pixels."""
        return self.network.config.size

    @one_thread()
    @torch.inference_mode()
    def predict(self, crops: np.ndarray, *, mirror: bool = True) -> list[IdentityAnswer]:
        """Predict the identity of each aligned crop.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array, RGB, made with `aligned_affine`
        mirror : bool
            Whether to average the predictions for the crop and for its mirror image.
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

    def prior(self, photo: ByteArray, landmarks: FloatArray, rotation: FloatArray) -> FitPrior:
        """Predict the identity of a face in a photo, as the prior of a fit.

        Parameters
        ----------
        photo : (h, w, 3) uint8 array, RGB
        landmarks : (68, 2) float array, pixels of the photo
        rotation : (3, 3) float array, face frame to camera frame
        """
        affine = aligned_affine(self.model, landmarks[INNER_LANDMARKS], rotation, self.size)
        answer = self.predict(warp_image(photo, affine, self.size)[None])[0]
        return FitPrior(answer.mean, answer.deviation**2)


@load_once(maxsize=2)
def load_identity(device: str = "cpu", path: str | os.PathLike[str] | None = None) -> Identity:
    """Load the identity network of the package, or the one at `path`; later calls return the same object.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another network.
    """
    from facegeom.face_model import load_face_model

    config, state = load_weights("identity", IdentityConfig, path)
    network = IdentityNetwork(config)
    load_state(network, "identity", state)
    return Identity(network, load_face_model(), check_device(device))
