"""Adagrad and Adadelta: gradients divided by the root of what was seen before."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number


class Adagrad(Optimizer):
    """Gradient divided by the root of the sum of all squares so far: `torch.optim.Adagrad`.

    torch divides by `sqrt(sum) + epsilon`, Keras by `sqrt(sum + epsilon)`; with the usual
    `initial_accumulator_value` the two agree to about 1e-6.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        initial_accumulator_value: Where the sum of squares begins.
        epsilon: Added to the divisor.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
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
        self.initial_accumulator_value = number(
            self.name, "initial_accumulator_value", initial_accumulator_value
        )
        self.epsilon = number(self.name, "epsilon", epsilon)

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """A `torch.optim.Adagrad`; its fused kernel exists for the CPU only."""
        on_cpu = all(p.device.type == "cpu" for group in groups for _, p in group["params"])
        return torch.optim.Adagrad(
            groups,
            initial_accumulator_value=self.initial_accumulator_value,
            eps=self.epsilon,
            **(fast if on_cpu else {}),
        )

    def start_state(self, optimizer: torch.optim.Optimizer) -> None:
        """Start parameters that joined later; torch does so only for those of its constructor."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if not optimizer.state[parameter]:
                    optimizer.state[parameter] = {
                        "step": torch.zeros((), dtype=torch.float32),
                        "sum": torch.full_like(parameter.detach(), self.initial_accumulator_value),
                    }


class Adadelta(Optimizer):
    """Gradient times the root mean square of recent steps over that of recent gradients.

    `torch.optim.Adadelta` does the arithmetic, by the same formula as Keras.

    Args:
        learning_rate: Factor on the step; the method as published has 1.
        rho: Share of both means of squares that stays at each update.
        epsilon: Added under both roots.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.95,
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
        self.rho = number(self.name, "rho", rho, maximum=1.0)
        self.epsilon = number(self.name, "epsilon", epsilon)

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """A `torch.optim.Adadelta`."""
        foreach = True if fast else None
        return torch.optim.Adadelta(groups, rho=self.rho, eps=self.epsilon, foreach=foreach)
