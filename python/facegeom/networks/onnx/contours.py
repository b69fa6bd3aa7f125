"""The contour network in ONNX Runtime; `facegeom.networks.contours` defines the network."""

from __future__ import annotations

import os

import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom._internal.threads import one_thread
from facegeom.networks.contour_crop import contour_answers, with_mirror_images
from facegeom.networks.interface import ContourAnswer, check_contour_crops
from facegeom.networks.onnx.session import NetworkSession


class ContourFinder:
    """The trained contour network; see `ContourPredictor`."""

    def __init__(self, session: NetworkSession) -> None:
        self._session = session
        self.size: int = session.config["size"]

    @one_thread()
    def predict(self, crops: ByteArray) -> list[ContourAnswer]:
        """Predict the contours in crops (b, 3, S, S, 3), uint8; see `ContourPredictor.predict`."""
        check_contour_crops(crops, self.size)
        image = np.ascontiguousarray(with_mirror_images(crops).transpose(0, 1, 4, 2, 3)).astype(np.float32)
        return contour_answers(*self._session.run(crops=image / np.float32(127.5) - 1))


@one_thread()
def load_contours(path: str | os.PathLike[str] | None = None) -> ContourFinder:
    """Load the trained network of the package, or with the weights of the file at `path`.

    Raises
    ------
    WeightsError
        When the weight file or the graph is missing or damaged, or has another configuration.
    """
    return ContourFinder(NetworkSession("contours", path))
