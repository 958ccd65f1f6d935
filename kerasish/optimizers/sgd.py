"""Stochastic gradient descent, with or without momentum."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number


class SGD(Optimizer):
    """Gradient descent: `weight -= learning_rate * gradient`, or along a velocity with momentum.

    `torch.optim.SGD` does the arithmetic: `velocity = momentum * velocity + gradient` and
    `weight -= learning_rate * velocity`. Keras keeps the learning rate inside the velocity; the two
    agree as long as the rate is constant, and after a change torch applies the new rate to the old
    velocity at once.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        momentum: Share of the velocity that stays at each update, in [0, 1].
        nesterov: Whether to look ahead along the velocity; needs momentum.

    The other settings are those of every optimizer; see `Optimizer`.

    Example:
        >>> SGD(0.1, momentum=0.9)
        SGD(learning_rate=0.1)
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        self.momentum = number(self.name, "momentum", momentum, maximum=1.0)
        self.nesterov = nesterov

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """A `torch.optim.SGD`."""
        if not self.momentum:  # Without a velocity there is nothing to look ahead along.
            return torch.optim.SGD(groups)
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov, **fast)
