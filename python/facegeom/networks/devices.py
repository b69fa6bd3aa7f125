"""Validation of the device on which a network runs."""

from __future__ import annotations

import torch

from facegeom._internal import check

DEVICE_TYPES = ("cpu", "cuda", "mps")


def check_device(name: str) -> torch.device:
    """Return the torch device with the given name.

    Parameters
    ----------
    name : str, "cpu", "cuda", "mps", or one of several such as "cuda:1"

    Raises
    ------
    ValueError
        If the name is not one of these, or the device is not available on this machine or in this build of torch.
    """
    check.choice(name.split(":")[0], "device", DEVICE_TYPES)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise ValueError(f"device must be available, got {name!r}: {str(error).splitlines()[0]}") from error
    return device
