"""Samplers of a diffusion model, on any predictor of the velocity: DDPM, DDIM, and the inversion of DDIM.

Ho et al. 2020 (DDPM, algorithm 2); Song, Meng and Ermon, Denoising Diffusion Implicit Models (ICLR 2021), equations 12
and 16. Inversion: DDIM run from the image to the noise (Dhariwal and Nichol, Diffusion Models Beat GANs, NeurIPS 2021,
appendix F), made exact by a fixed-point iteration of each step (Pan et al., Effective Real Image Editing with
Accelerated Iterative Diffusion Inversion, ICCV 2023).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from facegeom._internal import check
from facegeom.networks.diffusion.schedule import Schedule

Predict = Callable[[Tensor, int], Tensor]
"""Function (noisy images (b, ...), time) -> their velocities (b, ...)."""


def ddim(
    predict: Predict,
    noisy: Tensor,
    schedule: Schedule,
    times: Sequence[int],
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Remove the noise of images by DDIM.

    Parameters
    ----------
    predict : Predict
    noisy : (b, ...) tensor, images at the time `times[0]`
    schedule : Schedule
    times : falling times; the last one is usually 0
    eta : share of random noise in each step, in [0, 1]: 0 is deterministic, 1 has the variance of DDPM
    generator : source of the random noise, on the device of `noisy`

    Returns
    -------
    (b, ...) tensor
        The images at the time `times[-1]`.

    Raises
    ------
    ValueError, TypeError
        If `eta` is outside [0, 1], or the times do not fall.
    """
    check.in_range(eta, "eta", 0.0, 1.0)
    _check_falling(times)
    x = noisy
    for time, before in itertools.pairwise(times):
        parts = schedule.parts(x, predict(x, time), time)
        spread = schedule.spread(time, before, eta)
        kept = float(schedule.kept[before])
        x = math.sqrt(kept) * parts.image + math.sqrt(max(1 - kept - spread**2, 0.0)) * parts.noise
        if spread > 0:
            x = x + spread * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x


def ddpm(predict: Predict, noisy: Tensor, schedule: Schedule, generator: torch.Generator | None = None) -> Tensor:
    """Remove the noise of images at the last time by DDPM, in as many steps as there are times.

    Parameters
    ----------
    predict : Predict
    noisy : (b, ...) tensor, standard normal noise
    schedule : Schedule
    generator : source of the random noise, on the device of `noisy`

    Notes
    -----
    The mean of a step is that of Ho et al. 2020, equation 7, written with the predicted image.
    """
    x = noisy
    for time in range(schedule.last, 0, -1):
        image = schedule.parts(x, predict(x, time), time).image
        now, then = float(schedule.kept[time]), float(schedule.kept[time - 1])
        step = now / then  # alpha_t of the paper; `kept` is its product
        x = math.sqrt(then) * (1 - step) / (1 - now) * image + math.sqrt(step) * (1 - then) / (1 - now) * x
        if time > 1:
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = x + schedule.spread(time, time - 1) * noise
    return x


def invert(predict: Predict, image: Tensor, schedule: Schedule, times: Sequence[int], rounds: int = 3) -> Tensor:
    """Return the noise from which DDIM with `eta` 0 and the same times makes an image.

    Parameters
    ----------
    predict : Predict
    image : (b, ...) tensor
    schedule : Schedule
    times : falling times that end at the time of `image`, as for `ddim`
    rounds : evaluations of the predictor in each step; 1: the usual inversion, whose error falls with the number of
        steps; with more rounds the step of `ddim` from the result leads back to where it came from

    Returns
    -------
    (b, ...) tensor
        The images at the time `times[0]`.

    Raises
    ------
    ValueError, TypeError
        If the times do not fall, or `rounds` is not a positive integer.
    """
    check.count(rounds, "rounds", 1)
    _check_falling(times)
    angles = torch.acos(schedule.kept.sqrt()).tolist()
    x = image
    for now, after in zip(times[:0:-1], times[-2::-1], strict=True):
        # A step of DDIM turns the pair (image, velocity): x_now = cos(d) x_after - sin(d) v(x_after).
        cosine, sine = math.cos(angles[after] - angles[now]), math.sin(angles[after] - angles[now])
        turned = cosine * x + sine * predict(x, max(now, 1))  # an image without noise has no velocity
        for _ in range(rounds - 1):
            turned = (x + sine * predict(turned, after)) / cosine
        x = turned
    return x


def _check_falling(times: Sequence[int]) -> None:
    if len(times) < 2 or any(a <= b for a, b in itertools.pairwise(times)):
        raise ValueError(f"times must be at least two falling integers, got {list(times)}")
