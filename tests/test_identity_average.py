"""The mean of the weights of two identity networks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facegeom.errors import FacegeomError
from facegeom.networks.identity import IdentityConfig, IdentityNetwork
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.identity.average_weights import average_weights

SMALL = IdentityConfig(size=64, widths=(4, 4, 8, 8, 8), hidden=8)


def test_average_has_the_mean_weights_of_two_networks(tmp_path: Path) -> None:
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        config = SMALL if seed < 2 else replace(SMALL, hidden=16)
        networks.append(IdentityNetwork(config))
        save_weights(tmp_path / f"{seed}.safetensors", config, networks[-1].state_dict())
    files = [tmp_path / f"{seed}.safetensors" for seed in range(3)]
    average_weights(files[0], files[1], tmp_path / "mean.safetensors")
    _, mean = load_weights("identity", IdentityConfig, tmp_path / "mean.safetensors")
    a, b = (network.state_dict() for network in networks[:2])
    for name, value in mean.items():
        np.testing.assert_allclose(value, 0.5 * (a[name] + b[name]), atol=1e-3)
    with pytest.raises(FacegeomError, match="different sizes"):
        average_weights(files[0], files[2], tmp_path / "none.safetensors")
    assert not (tmp_path / "none.safetensors").exists()
