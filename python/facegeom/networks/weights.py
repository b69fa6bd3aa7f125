"""Weight files of PyTorch modules; the format is that of `facegeom.networks.weight_files`."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from facegeom._internal.files import write_atomically
from facegeom.errors import WeightsError
from facegeom.networks.weight_files import read_weights

Config = TypeVar("Config")


def save_weights(path: str | os.PathLike[str], config: Any, state: dict[str, Tensor]) -> None:
    """Write the state of a network as float16, with its configuration in the header of the file.

    Parameters
    ----------
    path : str or path, ends in .safetensors
    config : dataclass, the configuration of the network
    state : mapping from name to tensor, the state dict of the network
    """
    half = {
        name: tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in state.items()
    }
    metadata = {"config": json.dumps(dataclasses.asdict(config))}

    def write(temporary: Path) -> None:
        save_file(half, temporary, metadata)
        temporary.chmod(0o644)  # safetensors creates files that only their owner can read

    write_atomically(path, write)


def load_weights(
    name: str, config_type: type[Config], path: str | os.PathLike[str] | None = None
) -> tuple[Config, dict[str, Tensor]]:
    """Load the configuration and the float32 state of a network from the package, or from the weight file at `path`.

    Parameters
    ----------
    name : str, name of the network; used for the file in the package and in error messages
    config_type : type of the configuration
    path : str or path, or None for the file in the package

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or its configuration does not have the fields of `config_type`.
    """
    file = read_weights(name, path)
    try:
        config = config_type(**file.config)
    except TypeError as error:
        raise WeightsError(f"the weights of {name} cannot be read: {error}") from error
    return config, {key: torch.from_numpy(array) for key, array in file.arrays.items()}


def load_state(network: nn.Module, name: str, state: dict[str, Tensor]) -> None:
    """Load a state that `load_weights` returned into a network; `name` is used in error messages.

    Raises
    ------
    WeightsError
        If the state belongs to another network.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"the weights of {name} belong to another version of the network") from error


def has_config(path: str | os.PathLike[str], config_type: type[Any]) -> bool:
    """Return whether the header of a weight file has exactly the fields of a dataclass; False for any other file."""
    try:
        with safetensors.safe_open(Path(path), "pt") as stream:
            values = json.loads((stream.metadata() or {})["config"])
    except (safetensors.SafetensorError, OSError, KeyError, ValueError):
        return False
    return set(values) == {field.name for field in dataclasses.fields(config_type)}
