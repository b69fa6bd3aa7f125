"""Where networks run."""

from __future__ import annotations

import torch

from facegeom._internal import check

KINDS = ("cpu", "cuda", "mps")


def check_device(name: str) -> torch.device:
    """Return the device that is called cpu, cuda, cuda:1 or mps.

    Raises
    ------
    ValueError
        When it is called otherwise, or this machine or this build of torch has none.
    """
    check.choice(name.split(":")[0], "device", KINDS)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without CUDA
        raise ValueError(f"device must be one that is there, got {name!r}: {str(error).splitlines()[0]}") from error
    return device
