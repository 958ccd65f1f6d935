"""Adamax and Nadam: Adam with the largest gradient as divisor, and Adam with Nesterov momentum."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number


class _AdamRelative(Optimizer):
    """The settings that Adamax and Nadam share."""

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

    def _torch_arguments(self, fast: dict[str, bool]) -> dict[str, Any]:
        return {
            "betas": (self.beta_1, self.beta_2),
            "eps": self.epsilon,
            "foreach": True if fast else None,
        }


class Adamax(_AdamRelative):
    """Adam with the decayed largest gradient as divisor: `torch.optim.Adamax`.

    torch adds `epsilon` to each gradient's size, Keras to the divisor; on gradients well above
    `epsilon` the weights agree to about 1e-6.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        beta_1: Share of the mean of gradients that stays at each update.
        beta_2: Factor on the largest gradient at each update.
        epsilon: Keeps the divisor above zero.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """A `torch.optim.Adamax`."""
        return torch.optim.Adamax(groups, **self._torch_arguments(fast))


class Nadam(_AdamRelative):
    """Adam with Nesterov momentum: `torch.optim.NAdam`, with Keras's momentum schedule.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        beta_1: Share of the mean of gradients that stays, in the end; update `t` uses
            `beta_1 * (1 - 0.96 ** t / 2)`.
        beta_2: Share of the mean of squares that stays at each update.
        epsilon: Added to the divisor.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """A `torch.optim.NAdam`; Keras's schedule has no slowing factor on the step, so 1 here."""
        return torch.optim.NAdam(groups, momentum_decay=1.0, **self._torch_arguments(fast))
