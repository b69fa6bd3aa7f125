"""Reading of weight files as NumPy arrays: float16 safetensors with the network's configuration in the header."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors

from facegeom.errors import WeightsError

WEIGHTS = Path(__file__).parents[1] / "weights"


class WeightFile(NamedTuple):
    """The content of a weight file.

    Attributes
    ----------
    config : dict, the fields of the network's configuration; sequences are tuples
    arrays : dict from name to array, the state of the network; floating-point arrays are float32
    """

    config: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


def read_weights(name: str, path: str | os.PathLike[str] | None = None) -> WeightFile:
    """Read the weights of a network from the package, or from the weight file at `path`.

    Parameters
    ----------
    name : name of the network; used for the file in the package and in error messages
    path : str or path, or None for the file in the package

    Raises
    ------
    WeightsError
        When the file is missing or damaged, or has no configuration.
    """
    file = Path(path) if path is not None else WEIGHTS / f"{name}.safetensors"
    if not file.is_file():
        raise WeightsError(f"the weights of {name} are missing: {file.name} is not in {file.parent.name}")
    try:
        with safetensors.safe_open(file, "np") as stream:
            metadata = stream.metadata() or {}
            arrays = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
        config = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in json.loads(metadata["config"]).items()
        }
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"the weights of {name} in {file.name} cannot be read: {error}") from error
    return WeightFile(config, {key: _as_float32(array) for key, array in arrays.items()})


def _as_float32(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float32) if array.dtype.kind == "f" else array
