"""Ftrl: follow the regularised leader."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.optimizers import algorithms
from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number


class Ftrl(Optimizer):
    """Follow the regularised leader: for wide sparse linear models.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        learning_rate_power: The rate falls with the sum of squares to this power; at most 0.
        initial_accumulator_value: Where the sum of squares begins.
        l1_regularization_strength: Pulls weights to exactly zero.
        l2_regularization_strength: Pulls weights towards zero.
        l2_shrinkage_regularization_strength: Adds twice this times the weight to the gradient.
        beta: Adds to the l2 strength, divided by twice the rate.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
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
        if learning_rate_power > 0:
            raise ValueError(
                f"Ftrl: `learning_rate_power` must be at most 0, got {learning_rate_power}."
            )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = number(
            self.name, "initial_accumulator_value", initial_accumulator_value
        )
        self.l1_regularization_strength = number(
            self.name, "l1_regularization_strength", l1_regularization_strength
        )
        self.l2_regularization_strength = number(
            self.name, "l2_regularization_strength", l2_regularization_strength
        )
        self.l2_shrinkage_regularization_strength = number(
            self.name,
            "l2_shrinkage_regularization_strength",
            l2_shrinkage_regularization_strength,
        )
        self.beta = number(self.name, "beta", beta)

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """The algorithm in foreach torch."""
        return algorithms.FtrlAlgorithm(
            groups,
            lr_power=self.learning_rate_power,
            initial_accumulator_value=self.initial_accumulator_value,
            l1=self.l1_regularization_strength,
            l2=self.l2_regularization_strength,
            l2_shrinkage=self.l2_shrinkage_regularization_strength,
            beta=self.beta,
        )
