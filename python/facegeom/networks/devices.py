"""The device on which a network runs: validation of its name, and its precision."""

from __future__ import annotations

import torch

from facegeom._internal import check
from facegeom._internal.threads import load_once

DEVICE_TYPES = ("cpu", "cuda", "mps")
BFLOAT16_UNITS = ("amx_bf16", "avx512_bf16")  # names of `torch.cpu.get_capabilities`


@load_once(maxsize=1)
def _fast_bfloat16() -> bool:
    """Return whether this CPU multiplies in bfloat16. Others convert to float32 and back, which takes much longer."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)  # old releases of torch do not have it
    features: dict[str, bool] = capabilities()
    return any(bool(features.get(name)) for name in BFLOAT16_UNITS)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return a context in which networks compute in bfloat16 where the device is faster in it, else in float32.

    Training of FaceVision takes 3.6 times as long in bfloat16 on a CPU that has no unit for it.
    """
    enabled = device.type == "cuda" or (device.type == "cpu" and _fast_bfloat16())
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


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
    if not isinstance(name, str):
        raise TypeError(f"device must be a name such as 'cpu' or 'cuda:1', got {type(name).__name__}")
    check.choice(name.split(":")[0], "device", DEVICE_TYPES)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise ValueError(f"device must be available, got {name!r}: {str(error).splitlines()[0]}") from error
    return device
