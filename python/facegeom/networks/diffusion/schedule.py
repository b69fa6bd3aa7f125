"""How much of an image is left at each time of a diffusion process, and the quantities that follow from it.

Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models (NeurIPS 2020): a noisy image is x_t = sqrt(a_t) x_0 +
sqrt(1 - a_t) e with standard normal noise e (equation 4). Nichol and Dhariwal, Improved Denoising Diffusion
Probabilistic Models (ICML 2021): the cosine schedule of a_t (equation 17). Salimans and Ho, Progressive Distillation
for Fast Sampling of Diffusion Models (ICLR 2022): the network predicts the velocity v_t = sqrt(a_t) e - sqrt(1 - a_t)
x_0, which determines the image at every time; from a predicted noise the image cannot be computed where a_t is zero.

The library `diffusers` has the same formulas, but brings twenty packages; a test compares the results where it is
installed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from facegeom._internal import check

OFFSET = 0.008
"""Offset s of the cosine schedule (Nichol and Dhariwal 2021, section 3.2)."""

LARGEST_STEP = 0.999
"""Largest share of the variance that one time replaces by noise, as in that paper."""


class Parts(NamedTuple):
    """A noisy image taken apart.

    Attributes
    ----------
    image : tensor of the shape of the noisy image, the image without noise
    noise : tensor of the same shape, of unit variance
    """

    image: Tensor
    noise: Tensor


class Schedule:
    """The share of the image that is left at each time.

    Parameters
    ----------
    kept : (T + 1,) float64 tensor
        The share a_t of the variance of the image at the times 0 to T: 1 at time 0, falling.

    Raises
    ------
    ValueError
        If the shares do not start at 1, or do not fall.
    """

    def __init__(self, kept: Tensor) -> None:
        if kept.ndim != 1 or len(kept) < 2 or float(kept[0]) != 1 or not bool((kept.diff() < 0).all()) or kept[-1] < 0:
            raise ValueError("kept must be a vector of at least two shares that fall from 1 and are not negative")
        self.kept = kept.double()

    @classmethod
    def cosine(cls, times: int = 1000) -> Schedule:
        """Return the cosine schedule (Nichol and Dhariwal 2021, equation 17) with `times` times."""
        t = torch.arange(check.count(times, "times", 1) + 1, dtype=torch.float64) / times
        share = torch.cos((t + OFFSET) / (1 + OFFSET) * (math.pi / 2)).square()
        betas = (1 - share[1:] / share[:-1]).clamp(max=LARGEST_STEP)
        return cls(torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)]))

    @property
    def last(self) -> int:
        """The last time T, at which almost only noise is left."""
        return len(self.kept) - 1

    def times(self, steps: int) -> list[int]:
        """Return `steps` + 1 times from T down to 0, in equal steps up to rounding.

        Raises
        ------
        ValueError, TypeError
            If `steps` is not an integer from 1 to T.
        """
        check.count(steps, "steps", 1, self.last)
        return [round(self.last * (steps - n) / steps) for n in range(steps + 1)]

    def _roots(self, time: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return sqrt(a_t) and sqrt(1 - a_t), shaped to multiply a batch such as `like`."""
        kept = self.kept[torch.as_tensor(time).cpu()]
        kept = kept.reshape(-1, *(1,) * (like.ndim - 1)) if kept.ndim else kept
        return kept.sqrt().to(like), (1 - kept).sqrt().to(like)

    def noisy(self, image: Tensor, noise: Tensor, time: Tensor | int) -> Tensor:
        """Return images (b, ...) with noise of the same shape at a time, or at one time (b,) for each."""
        signal, spread = self._roots(time, image)
        return signal * image + spread * noise

    def velocity(self, image: Tensor, noise: Tensor, time: Tensor | int) -> Tensor:
        """Return the velocity of images (b, ...) and noise of the same shape, see the module."""
        signal, spread = self._roots(time, image)
        return signal * noise - spread * image

    def parts(self, noisy: Tensor, velocity: Tensor, time: Tensor | int) -> Parts:
        """Return the image and the noise of noisy images (b, ...) with a known velocity."""
        signal, spread = self._roots(time, noisy)
        return Parts(signal * noisy - spread * velocity, spread * noisy + signal * velocity)

    def spread(self, time: int, before: int, eta: float = 1.0) -> float:
        """Return the standard deviation of the noise that a step from `time` to the earlier time `before` adds.

        Song et al. 2021, equation 16. With `eta` 1 and neighbouring times it is the posterior standard deviation of Ho
        et al. 2020, equation 7.
        """
        now, then = float(self.kept[time]), float(self.kept[before])
        return eta * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
