"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number


class Adam(Optimizer):
    """Adam: the mean of the gradients over the root of the mean of their squares.

    `torch.optim.Adam` does the arithmetic, and `torch.optim.AdamW` when `weight_decay` is given, as
    Keras's decay is decoupled. torch adds `epsilon` after the correction for the start, Keras
    before; with gradients well above `epsilon` the weights agree to about 1e-6.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        beta_1: Share of the mean of gradients that stays at each update.
        beta_2: Share of the mean of squares that stays at each update.
        epsilon: Added to the divisor.
        amsgrad: Whether to divide by the largest mean of squares so far.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    torch_decays = True

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.amsgrad = amsgrad

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """A `torch.optim.Adam`, or `AdamW` with weight decay."""
        torch_class = torch.optim.AdamW if self.weight_decay else torch.optim.Adam
        return torch_class(
            groups,
            betas=(self.beta_1, self.beta_2),
            eps=self.epsilon,
            amsgrad=self.amsgrad,
            **fast,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay, 0.004 unless given: `torch.optim.AdamW`.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        weight_decay: Each update first does `weight -= learning_rate * weight_decay * weight`.
        beta_1: Share of the mean of gradients that stays at each update.
        beta_2: Share of the mean of squares that stays at each update.
        epsilon: Added to the divisor.
        amsgrad: Whether to divide by the largest mean of squares so far.

    The other settings are those of every optimizer; see `Optimizer`.

    Raises:
        ValueError: If `weight_decay` is `None`; use `Adam` then.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        if weight_decay is None:
            raise ValueError("AdamW: `weight_decay` must be a number, got None. Use Adam instead.")
        own = learning_rate, beta_1, beta_2, epsilon, amsgrad
        clipping = clipnorm, clipvalue, global_clipnorm
        averaging = use_ema, ema_momentum, ema_overwrite_frequency
        scaling = loss_scale_factor, gradient_accumulation_steps
        super().__init__(*own, weight_decay, *clipping, *averaging, *scaling, name)

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """A `torch.optim.AdamW`, whatever the decay."""
        return torch.optim.AdamW(
            groups,
            betas=(self.beta_1, self.beta_2),
            eps=self.epsilon,
            amsgrad=self.amsgrad,
            **fast,
        )
