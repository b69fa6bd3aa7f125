"""Losses on maps, in closed form."""

import math

import pytest
import torch

from facegeom.training.losses import adversarial, gradient_l1, masked_l1


def test_masked_l1_counts_only_the_mask() -> None:
    predicted = torch.zeros(1, 2, 4, 4)
    target = torch.full((1, 2, 4, 4), 3.0)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :] = 1
    target[..., 2:, :] = 1e6
    assert masked_l1(predicted, target, mask).item() == pytest.approx(3.0)


def test_masked_l1_of_an_empty_mask_is_zero() -> None:
    assert masked_l1(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).item() == 0.0


def test_gradient_l1_ignores_a_constant_and_sees_a_slope() -> None:
    slope = torch.arange(5.0).expand(1, 1, 5, 5) * 0.25
    mask = torch.ones(1, 1, 5, 5)
    assert gradient_l1(slope + 7.0, slope, mask).item() == pytest.approx(0.0, abs=1e-6)
    assert gradient_l1(slope, torch.zeros_like(slope), mask).item() == pytest.approx(0.25)


def test_gradient_l1_does_not_look_across_the_masks_edge() -> None:
    error = torch.zeros(1, 1, 4, 4)
    error[..., 2:] = 100.0
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    assert gradient_l1(error, torch.zeros_like(error), mask).item() == 0.0


def test_adversarial_is_the_log_loss() -> None:
    logits = torch.tensor([0.0, math.log(3.0)])  # probabilities 1/2 and 3/4
    assert adversarial(logits, True).item() == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2)
    assert adversarial(logits, False).item() == pytest.approx(-(math.log(0.5) + math.log(0.25)) / 2)
