"""Adafactor."""

from __future__ import annotations

import math
from typing import Any

import torch

from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number


class Adafactor(Optimizer):
    """Adam's divisor kept as row and column means, so that it costs little memory.

    `torch.optim.Adafactor` does the arithmetic. Matrices give Keras's numbers. A convolution's last
    two axes are (height, width) here and (in, out) in Keras, so its means run over other axes.

    Args:
        learning_rate: Largest relative step; the step is `min(learning_rate, 1 / sqrt(t))` times
            the root mean square of the weights.
        beta_2_decay: The means keep `1 - t ** beta_2_decay` at update `t`.
        epsilon_1: Smallest mean square.
        epsilon_2: Smallest root mean square of the weights that counts.
        clip_threshold: Largest root mean square of a step, relative to the step size; at least 1.
        relative_step: Keras's flag, kept for its configs: neither library's numbers depend on it.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
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
        if beta_2_decay > 0:
            raise ValueError(f"Adafactor: `beta_2_decay` must be at most 0, got {beta_2_decay}.")
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = number(self.name, "epsilon_1", epsilon_1)
        self.epsilon_2 = number(self.name, "epsilon_2", epsilon_2)
        self.clip_threshold = number(self.name, "clip_threshold", clip_threshold)
        self.relative_step = relative_step

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """A `torch.optim.Adafactor`."""
        return torch.optim.Adafactor(
            groups,
            beta2_decay=self.beta_2_decay,
            # torch bounds the mean square by the square of its epsilon, which for 1e-30 is zero:
            # units without a gradient would become NaN.
            eps=(math.sqrt(self.epsilon_1), self.epsilon_2),
            d=self.clip_threshold,
            foreach=True if fast else None,
        )
