"""FaceVision-GAN's generator in ONNX Runtime; `facegeom.networks.facevision` defines the network."""

from __future__ import annotations

import os

import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.errors import WeightsError
from facegeom.networks.interface import MAP_UNIT_MM, NetworkMaps, check_crops
from facegeom.networks.onnx.session import NetworkSession, as_image

X = 1
"""Index of the output channel that changes sign when the photo is mirrored: x of the correspondence."""


class FaceVision:
    """A trained generator, ready to predict the maps of crops; see `MapNetwork`."""

    def __init__(self, session: NetworkSession) -> None:
        self._session = session
        self.size: int = session.config["size"]

    @one_thread()
    def predict(self, crops: ByteArray, *, mirror: bool = True) -> NetworkMaps:
        """Predict the maps of crops (b, S, S, 3), uint8; see `MapNetwork.predict`."""
        check_crops(crops, self.size)
        image = as_image(crops)
        if mirror:
            (both,) = self._session.run(image=np.concatenate([image, image[..., ::-1]]))
            direct, other = both[: len(crops)], both[len(crops) :, ..., ::-1].copy()
            other[:, X] *= -1
            maps = np.float32(0.5) * (direct + other)
        else:
            (maps,) = self._session.run(image=image)  # (b, 5, S, S): depth, correspondence, mask logit
        return NetworkMaps(
            maps[:, 0] * np.float32(MAP_UNIT_MM),
            np.ascontiguousarray((maps[:, 1:4] * np.float32(MAP_UNIT_MM)).transpose(0, 2, 3, 1)),
            _sigmoid(maps[:, 4]),
        )


def _sigmoid(logits: Float32Array) -> Float32Array:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), np.float32)


@one_thread()
def load_facevision(path: str | os.PathLike[str] | None = None) -> FaceVision:
    """Load the trained network of the package, or with the weights of the file at `path`.

    Raises
    ------
    WeightsError
        When the weight file or the graph is missing or damaged, or has another configuration.
    """
    session = NetworkSession("facevision", path)
    if session.config["foreground"] != "mask":
        raise WeightsError("the ONNX backend needs weights of facevision with foreground 'mask'")
    return FaceVision(session)
