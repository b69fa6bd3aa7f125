"""The identity network in ONNX Runtime; `facegeom.networks.identity` defines the network."""

from __future__ import annotations

import os

import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom._internal.threads import one_thread
from facegeom.face_model import load_face_model
from facegeom.networks.identity_units import answers, shape_units
from facegeom.networks.interface import IdentityAnswer, check_crops
from facegeom.networks.onnx.session import NetworkSession, as_image


class Identity:
    """The trained network with the units of its prediction; see `IdentityPredictor`."""

    def __init__(self, session: NetworkSession) -> None:
        self._session = session
        self._units = shape_units(load_face_model(), session.config["coefficients"])
        self.size: int = session.config["size"]

    @one_thread()
    def predict(self, crops: ByteArray, *, mirror: bool = True) -> list[IdentityAnswer]:
        """Predict the identity in aligned crops (b, S, S, 3), uint8; see `IdentityPredictor.predict`."""
        check_crops(crops, self.size)
        image = as_image(crops)
        if mirror:
            image = np.concatenate([image, image[..., ::-1]])
        mean, log_variance, points = self._session.run(image=image)
        return answers(self._units, mean, log_variance, points, len(crops))


@one_thread()
def load_identity(path: str | os.PathLike[str] | None = None) -> Identity:
    """Load the trained network of the package, or with the weights of the file at `path`.

    Raises
    ------
    WeightsError
        When the weight file or the graph is missing or damaged, or has another configuration.
    """
    return Identity(NetworkSession("identity", path))
