"""The denoising networks in ONNX Runtime; `facegeom.networks.denoising` defines the networks."""

from __future__ import annotations

import os

import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom._internal.threads import load_once, one_thread
from facegeom.networks.interface import check_noisy_images
from facegeom.networks.onnx.session import NetworkSession, as_image


class Denoiser:
    """A trained network; see `DenoisingNetwork`."""

    def __init__(self, session: NetworkSession) -> None:
        self._session = session

    @one_thread()
    def predict(self, images: ByteArray) -> ByteArray:
        """Remove the noise of images (b, h, w, 3), uint8; see `DenoisingNetwork.predict`."""
        (out,) = self._session.run(noisy=as_image(check_noisy_images(images)))
        levels = np.clip(np.rint((out + np.float32(1)) * np.float32(127.5)), 0, 255)
        return np.ascontiguousarray(levels.transpose(0, 2, 3, 1).astype(np.uint8))


@load_once(maxsize=4)
@one_thread()
def load_denoiser(method: str, path: str | os.PathLike[str] | None = None) -> Denoiser:
    """Load a trained network of the package, or with the weights of the file at `path`.

    Raises
    ------
    WeightsError
        When the weight file or the graph is missing or damaged, or has another configuration.
    """
    return Denoiser(NetworkSession(f"denoiser_{method}", path))
