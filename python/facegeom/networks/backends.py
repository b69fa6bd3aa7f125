"""The libraries in which networks run: PyTorch, or ONNX Runtime where PyTorch is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from facegeom._internal import check
from facegeom.errors import FacegeomError

BACKENDS = ("torch", "onnx")
"""Names of the backends; the first is the default. Both use the same weight files."""

DEFAULT_BACKEND = BACKENDS[0]


def check_backend(backend: str, device: str = "cpu") -> None:
    """Check that networks can run in a library, without importing it.

    Parameters
    ----------
    backend : one of `BACKENDS`
    device : "cpu", "cuda", "cuda:1" or "mps"; with "onnx" only "cpu". The torch backend checks its devices itself.

    Raises
    ------
    ValueError
        When the name is unknown, or the backend does not support the device.
    TypeError
        When `device` is no string.
    FacegeomError
        When the library is not installed.
    """
    check.choice(backend, "backend", BACKENDS)
    if not isinstance(device, str):
        raise TypeError(f"device must be a name such as 'cpu' or 'cuda:1', got {type(device).__name__}")
    if backend == "onnx":
        if device != "cpu":
            raise ValueError(f"device must be 'cpu' with backend='onnx', got {device!r}")
        if find_spec("onnxruntime") is None:
            raise FacegeomError("backend='onnx' needs ONNX Runtime: pip install 'facegeom[onnx]'")
    elif find_spec("torch") is None:
        raise FacegeomError(
            "backend='torch' needs PyTorch: pip install torch; or use backend='onnx': pip install 'facegeom[onnx]'"
        )
