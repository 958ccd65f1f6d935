"""Lion."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.optimizers import algorithms
from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number


class Lion(Optimizer):
    """Steps of one size along the sign of an interpolated momentum.

    Args:
        learning_rate: Size of each element's step; about a tenth of what Adam would take.
        beta_1: Share of the momentum in the step's direction.
        beta_2: Share of the momentum that stays at each update.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
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

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """The algorithm in foreach torch."""
        return algorithms.LionAlgorithm(groups, betas=(self.beta_1, self.beta_2))
