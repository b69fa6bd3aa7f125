"""A wider identity network that computes the same function."""

from pathlib import Path

import pytest
import torch

from facegeom.networks.identity import IdentityConfig, IdentityNetwork, load_identity
from facegeom.networks.weights import save_weights
from facegeom.training.identity.wider_network import widened

SMALL = IdentityConfig(size=64, coefficients=5, widths=(4, 4, 8, 8, 8), hidden=8, points=6)


def _narrow() -> IdentityNetwork:
    torch.manual_seed(1)
    network = IdentityNetwork(SMALL)
    with torch.no_grad():
        for _ in range(3):  # so that the statistics of the normalisation are not the initial ones
            network(torch.randn(8, 3, 64, 64))
        network.answer.weight.normal_()
    return network.eval()


def test_wider_network_has_the_same_answers_and_more_channels() -> None:
    narrow = _narrow()
    wide = widened(narrow, 1.5)
    assert wide.config.widths == (6, 6, 12, 12, 12)
    assert wide.config.hidden == 12
    photos = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(narrow(photos), wide(photos), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_training_reaches_the_new_channels() -> None:
    wide = widened(_narrow(), 2).train()
    optimizer = torch.optim.SGD(wide.parameters(), 0.1)
    photos, before = torch.randn(8, 3, 64, 64), wide.features[0][0].weight.detach().clone()
    for _ in range(2):  # the first step changes the weights that read the new channels
        optimizer.zero_grad()
        wide(photos).mean.square().sum().backward()
        optimizer.step()
    assert (wide.features[0][0].weight[4:] - before[4:]).abs().max() > 0


def test_factor_must_widen() -> None:
    with pytest.raises(ValueError, match="factor must lie in"):
        widened(_narrow(), 0.5)


def test_wider_network_of_a_file(tmp_path: Path) -> None:
    from facegeom.cli import main

    narrow = IdentityNetwork(IdentityConfig(size=64, widths=(4, 4, 8, 8, 8), hidden=8))
    save_weights(tmp_path / "narrow.safetensors", narrow.config, narrow.state_dict())
    out = tmp_path / "runs" / "wide.safetensors"
    assert main(["prepare", "identity-wider", str(tmp_path / "narrow.safetensors"), "--out", str(out)]) == 0
    assert load_identity("cpu", out).network.config.widths == (8, 8, 16, 16, 16)
