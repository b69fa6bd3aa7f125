"""The segmentation network in ONNX Runtime; `facegeom.networks.segmentation` defines the network."""

from __future__ import annotations

import os

import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.networks.interface import check_crops
from facegeom.networks.onnx.session import NetworkSession, as_image


class Segmentation:
    """The trained network; see `SegmentationPredictor`."""

    def __init__(self, session: NetworkSession) -> None:
        self._session = session
        self.size: int = session.config["size"]

    @one_thread()
    def predict(self, crops: ByteArray) -> Float32Array:
        """Predict the classes in crops (b, S, S, 3), uint8; see `SegmentationPredictor.predict`."""
        check_crops(crops, self.size)
        (logits,) = self._session.run(image=as_image(crops))
        power = np.exp(logits - logits.max(axis=1, keepdims=True))
        share = power / power.sum(axis=1, keepdims=True)
        return np.ascontiguousarray(share.transpose(0, 2, 3, 1))


@one_thread()
def load_segmentation(path: str | os.PathLike[str] | None = None) -> Segmentation:
    """Load the trained network of the package, or with the weights of the file at `path`.

    Raises
    ------
    WeightsError
        When the weight file or the graph is missing or damaged, or has another configuration.
    """
    return Segmentation(NetworkSession("segmentation", path))
