"""RMSprop."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.optimizers import algorithms
from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number


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

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        clipping = clipnorm, clipvalue, global_clipnorm
        averaging = use_ema, ema_momentum, ema_overwrite_frequency
        scaling = loss_scale_factor, gradient_accumulation_steps
        super().__init__(learning_rate, weight_decay, *clipping, *averaging, *scaling, name)
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
