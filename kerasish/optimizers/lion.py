"""Lion."""

from __future__ import annotations

from typing import Any, Unpack

import torch

from kerasish.optimizers import algorithms
from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import Options, number


class Lion(Optimizer):
    """Steps of one size along the sign of an interpolated momentum.

    Args:
        learning_rate: Size of each element's step; about a tenth of what Adam would take.
        beta_1: Share of the momentum in the step's direction.
        beta_2: Share of the momentum that stays at each update.
        **options: The settings of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = number(self.name, "beta_1", beta_1, maximum=1.0)
        self.beta_2 = number(self.name, "beta_2", beta_2, maximum=1.0)

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """The algorithm in foreach torch."""
        return algorithms.LionAlgorithm(groups, betas=(self.beta_1, self.beta_2))
