"""RMSprop."""

from __future__ import annotations

from typing import Any, Unpack

import torch

from kerasish.optimizers import algorithms
from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import Options, number


class RMSprop(Optimizer):
    """Gradient divided by the root of a running mean of its square.

    The numbers are Keras's: the divisor is `sqrt(mean + epsilon)`, where `torch.optim.RMSprop` has
    `sqrt(mean) + epsilon` and so makes several times larger steps from gradients below 3e-4; and
    with `momentum` the velocity holds steps, not gradients, which differs once the learning rate
    changes.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        rho: Share of the mean of squares that stays at each update.
        momentum: Share of the velocity that stays at each update.
        epsilon: Added to the mean of squares, under the root.
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
        """The algorithm in foreach torch."""
        return algorithms.RMSpropAlgorithm(
            groups,
            alpha=self.rho,
            eps=self.epsilon,
            momentum=self.momentum,
            centered=self.centered,
        )
