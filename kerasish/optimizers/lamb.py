"""Lamb."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.optimizers import algorithms
from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number


class Lamb(Optimizer):
    """Adam whose step for each parameter is rescaled to the norm of its weights; for huge batches.

    Args:
        learning_rate: Step size relative to the norm of the weights.
        beta_1: Share of the mean of gradients that stays at each update.
        beta_2: Share of the mean of squares that stays at each update.
        epsilon: Added to the divisor.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
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
        self.beta_1 = number(self.name, "beta_1", beta_1, maximum=1.0)
        self.beta_2 = number(self.name, "beta_2", beta_2, maximum=1.0)
        self.epsilon = number(self.name, "epsilon", epsilon)

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """The algorithm in foreach torch."""
        return algorithms.LambAlgorithm(groups, betas=(self.beta_1, self.beta_2), eps=self.epsilon)
