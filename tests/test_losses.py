"""Losses on maps, compared with closed forms."""

import math

import pytest
import torch

from facegeom.training.maps.losses import (
    adversarial,
    cells_within,
    depth_normals,
    gradient_l1,
    masked_l1,
    normal_l1,
    relief_l1,
)


def test_masked_l1_ignores_pixels_outside_the_mask() -> None:
    predicted = torch.zeros(1, 2, 4, 4)
    target = torch.full((1, 2, 4, 4), 3.0)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :] = 1
    target[..., 2:, :] = 1e6
    assert masked_l1(predicted, target, mask).item() == pytest.approx(3.0)


def test_masked_l1_of_an_empty_mask_is_zero() -> None:
    assert masked_l1(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).item() == 0.0


def test_relief_l1_ignores_a_constant_depth_error_but_not_a_tilt() -> None:
    slope = torch.arange(4.0).expand(2, 1, 4, 4)
    mask = torch.ones(2, 1, 4, 4)
    mask[0, :, :, 2:] = 0
    far = slope + torch.tensor([5.0, -30.0]).reshape(2, 1, 1, 1)
    far[0, :, :, 2:] = 1e3  # outside the mask
    assert relief_l1(far, slope, mask).item() == pytest.approx(0.0, abs=1e-5)
    errors = [0.5] * 8 + [1.5, 0.5, 0.5, 1.5] * 4  # deviations of 0, 1 and of 0, 1, 2, 3 from their means
    assert relief_l1(2 * slope, slope, mask).item() == pytest.approx(sum(errors) / len(errors))
    assert relief_l1(far, slope, torch.zeros_like(mask)).item() == 0.0


def test_gradient_l1_ignores_a_constant_but_not_a_slope() -> None:
    slope = torch.arange(5.0).expand(1, 1, 5, 5) * 0.25
    mask = torch.ones(1, 1, 5, 5)
    assert gradient_l1(slope + 7.0, slope, mask).item() == pytest.approx(0.0, abs=1e-6)
    assert gradient_l1(slope, torch.zeros_like(slope), mask).item() == pytest.approx(0.25)


def test_gradient_l1_ignores_differences_across_the_mask_boundary() -> None:
    error = torch.zeros(1, 1, 4, 4)
    error[..., 2:] = 100.0
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    assert gradient_l1(error, torch.zeros_like(error), mask).item() == 0.0


def test_adversarial_is_the_binary_cross_entropy() -> None:
    logits = torch.tensor([0.0, math.log(3.0)])  # probabilities 1/2 and 3/4
    assert adversarial(logits, True).item() == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2)
    assert adversarial(logits, False).item() == pytest.approx(-(math.log(0.5) + math.log(0.25)) / 2)


def plane(slope_x: float, slope_y: float, spacing: float, size: int = 6) -> torch.Tensor:
    """Return z = slope_x x + slope_y y at pixels `spacing` apart, y up, as (1, 1, size, size)."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (slope_x * columns - slope_y * rows)[None, None] * spacing


@pytest.mark.parametrize("spacing", [0.5, 1.0, 3.0])
def test_normals_of_a_plane_are_exact_for_any_spacing(spacing: float) -> None:
    normals = depth_normals(plane(0.5, -2.0, spacing), torch.tensor([spacing]))
    expected = torch.tensor([-0.5, 2.0, 1.0]) / math.sqrt(0.25 + 4 + 1)
    assert normals.shape == (1, 3, 5, 5)
    torch.testing.assert_close(normals, expected[None, :, None, None].expand_as(normals))


def test_normals_of_a_sphere_point_away_from_its_centre() -> None:
    """The normal of a triangle of pixels is that of the sphere at the circumcentre of the triangle."""
    radius, spacing, size = 100.0, 0.5, 161
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    x, y = (columns - size // 2) * spacing, (size // 2 - rows) * spacing
    z = (radius**2 - x**2 - y**2).sqrt()
    normals = depth_normals(z[None, None], torch.tensor([spacing]))[0]
    middle_x, middle_y = x[:-1, :-1] + spacing / 2, y[:-1, :-1] - spacing / 2
    middle = torch.stack([middle_x, middle_y, (radius**2 - middle_x**2 - middle_y**2).sqrt()]) / radius
    angle = (normals * middle).sum(0).clamp(-1, 1).arccos().rad2deg()
    assert angle.max() < 0.1
    assert angle.mean() < 0.05


def test_normal_l1_of_two_planes_in_closed_form() -> None:
    spacing, mask = torch.tensor([2.0]), torch.ones(1, 1, 6, 6)
    level, slope = plane(0.0, 0.0, 2.0), plane(0.75, 0.0, 2.0)  # normals (0, 0, 1) and (-0.6, 0, 0.8)
    assert normal_l1(slope, level, mask, spacing).item() == pytest.approx((0.6 + 0.2) / 3, rel=1e-6)
    assert normal_l1(slope + 40.0, slope, mask, spacing).item() == pytest.approx(0.0, abs=1e-5)


def test_normal_l1_ignores_pixels_outside_the_mask_and_has_finite_gradients() -> None:
    mask = torch.zeros(1, 1, 6, 6)
    mask[..., :3, :3] = 1
    assert cells_within(mask).sum() == 4
    wild = plane(0.3, 0.1, 1.0).requires_grad_()
    target = wild.detach().clone()
    target[..., 3:, :] = 1e6
    target[..., :, 3:] = -1e6
    loss = normal_l1(wild, target, mask, torch.ones(1))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    normal_l1(wild, torch.zeros_like(target), mask, torch.ones(1)).backward()
    assert torch.isfinite(wild.grad).all()
    assert not wild.grad[..., 3:, :].any()


def test_normal_l1_of_an_empty_mask_is_zero() -> None:
    nothing = torch.zeros(2, 1, 6, 6)
    assert normal_l1(torch.rand(2, 1, 6, 6), nothing, nothing, torch.ones(2)).item() == 0.0
