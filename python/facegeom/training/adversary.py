"""Balance between a generator and its discriminator: the accuracy of the discriminator decides which of them learns."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

WEAK, STRONG = 0.6, 0.9
"""Accuracies of the discriminator: below the first its gradient tells the generator nothing, above the second the
generator no longer keeps up."""

MEMORY = 0.95  # share of the previous running accuracy in the next


class Balance(nn.Module):
    """Running accuracy of a discriminator. A checkpoint contains it, like the state of a network.

    A new discriminator has an accuracy of one half, so that it learns alone at first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running", torch.tensor(0.5))

    @property
    def accuracy(self) -> float:
        """Running accuracy, in [0, 1]."""
        return float(cast(Tensor, self.running))

    def observe(self, accuracy: float) -> None:
        """Add the accuracy of one step, in [0, 1]."""
        cast(Tensor, self.running).mul_(MEMORY).add_((1 - MEMORY) * accuracy)

    @property
    def generator_learns(self) -> bool:
        """Whether the adversarial loss counts in the loss of the generator."""
        return self.accuracy >= WEAK

    @property
    def discriminator_learns(self) -> bool:
        """Whether the discriminator makes a training step."""
        return self.accuracy <= STRONG
