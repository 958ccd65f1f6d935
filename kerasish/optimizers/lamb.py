"""Lamb."""

from __future__ import annotations

from typing import Any, Unpack

import torch

from kerasish.optimizers import algorithms
from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import Options, number


class Lamb(Optimizer):
    """Adam whose step for each parameter is rescaled to the norm of its weights; for huge batches.

    Args:
        learning_rate: Step size relative to the norm of the weights.
        beta_1: Share of the mean of gradients that stays at each update.
        beta_2: Share of the mean of squares that stays at each update.
        epsilon: Added to the divisor.
        **options: The settings of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = number(self.name, "beta_1", beta_1, maximum=1.0)
        self.beta_2 = number(self.name, "beta_2", beta_2, maximum=1.0)
        self.epsilon = number(self.name, "epsilon", epsilon)

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """The algorithm in foreach torch."""
        return algorithms.LambAlgorithm(groups, betas=(self.beta_1, self.beta_2), eps=self.epsilon)
