"""RMSprop."""

from __future__ import annotations

from typing import Any, Unpack

import torch

from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import Options, number


class RMSprop(Optimizer):
    """Gradient divided by the root of a running mean of its square: `torch.optim.RMSprop`.

    torch divides by `sqrt(mean) + epsilon`, Keras by `sqrt(mean + epsilon)`. With `epsilon=1e-7`
    the two agree to 1e-4 only where gradients stay above about 0.1. At 0.01 a first step is 0.5
    percent larger here, and at `sqrt(epsilon)`, 3e-4, or below, several times larger: scripts tuned
    with Keras on small gradients may want a smaller learning rate. `centered` adds to the
    difference. With `momentum`, Keras keeps the learning rate inside the velocity and torch
    outside, which differs only after the rate changes.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        rho: Share of the mean of squares that stays at each update.
        momentum: Share of the velocity that stays at each update.
        epsilon: Added to the divisor.
        centered: Whether to divide by the standard deviation instead of the root mean square.
        **options: The settings of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = number(self.name, "rho", rho, maximum=1.0)
        self.momentum = number(self.name, "momentum", momentum, maximum=1.0)
        self.epsilon = number(self.name, "epsilon", epsilon)
        self.centered = centered

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """A `torch.optim.RMSprop`."""
        return torch.optim.RMSprop(
            groups,
            alpha=self.rho,
            eps=self.epsilon,
            momentum=self.momentum,
            centered=self.centered,
            foreach=True if fast else None,
        )
