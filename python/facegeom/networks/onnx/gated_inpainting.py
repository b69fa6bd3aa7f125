"""The texture completion network in ONNX Runtime; `facegeom.networks.gated_inpainting` defines the network."""

from __future__ import annotations

import os

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.networks.interface import check_textures
from facegeom.networks.onnx.session import NetworkSession, as_image


class Inpainter:
    """A trained network, ready to complete textures; see `TextureNetwork`."""

    def __init__(self, session: NetworkSession) -> None:
        self._session = session
        self.size: int = session.config["size"]
        self.region: BoolArray = session.weights["region"]
        self.mean: ByteArray = _as_bytes(session.weights["mean"][None])[0]
        self.usual_hair: Float32Array | None = session.weights.get("usual_hair")

    @one_thread()
    def predict(self, textures: ByteArray, known: BoolArray, hair: BoolArray | None = None) -> ByteArray:
        """Predict all texels with the last stage, including known ones; see `TextureNetwork.predict`."""
        masks = {"known": check_textures(textures, known, self.size)}
        if self.usual_hair is not None:
            if hair is None:
                raise ValueError("the network needs hair, the mask of texels with hair")
            masks["hair"] = check.bool_array(hair, "hair", known.shape)
        planes = {name: mask[:, None].astype(np.float32) for name, mask in masks.items()}
        (output,) = self._session.run(texture=as_image(textures), **planes)
        return _as_bytes(output)


def _as_bytes(textures: Float32Array) -> ByteArray:
    """Convert textures (b, 3, S, S) in [-1, 1] to uint8 (b, S, S, 3)."""
    image = np.clip(np.rint((textures + 1) * np.float32(127.5)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image.transpose(0, 2, 3, 1))


@one_thread()
def load_gated_inpainting(path: str | os.PathLike[str] | None = None) -> Inpainter:
    """Load the trained network of the package, or with the weights of the file at `path`.

    Raises
    ------
    WeightsError
        When the weight file or the graph is missing or damaged, or has another configuration.
    """
    return Inpainter(NetworkSession("gated_inpainting", path))
