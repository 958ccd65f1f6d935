"""A loss scale that finds its own size, for training in float16."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from kerasish import registry
from kerasish.optimizers.base import Optimizer
from kerasish.optimizers.direct import kernels
from kerasish.variables import Variable


class LossScaleOptimizer(Optimizer):
    """Scale the loss up, the gradients down, and skip updates whose gradients overflowed.

    The scale doubles after `dynamic_growth_steps` good updates and halves after an overflow.
    Whether one happened must be known before the weights change, so each update waits for the
    device.

    Args:
        inner_optimizer: The optimizer that does the updates; its own loss scale is switched off.
        initial_scale: The first scale.
        dynamic_growth_steps: Good updates in a row before the scale doubles.
        name: A label.
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
    ) -> None:
        self.inner_optimizer = inner_optimizer
        inner_optimizer.loss_scale_factor = None
        super().__init__(
            # A MultiOptimizer has no one rate.
            getattr(inner_optimizer, "learning_rate", 0.0),
            name=name,
        )
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        self.dynamic_scale = float(initial_scale)
        self._good_steps = 0
        self._follow_inner()

    def _follow_inner(self) -> None:
        self.use_ema = self.inner_optimizer.use_ema
        self.gradient_accumulation_steps = self.inner_optimizer.gradient_accumulation_steps

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        # The base constructor hands back what it read here: that must not undo a schedule.
        if hasattr(self, "initial_scale"):
            self.inner_optimizer.learning_rate = value

    @property
    def _steps(self) -> int:
        # The inner optimizer counts, and skipped updates do not.
        return self.inner_optimizer._steps

    @_steps.setter
    def _steps(self, value: int) -> None:
        # The base constructor begins at 0: an optimizer that has been used goes on.
        if hasattr(self, "initial_scale"):
            self.inner_optimizer._steps = value

    @property
    def scales_loss(self) -> bool:
        """Always."""
        return True

    @property
    def gradient_scale(self) -> float:
        """The scale of the loss, times the batches gathered for an update."""
        return self.dynamic_scale * self.inner_optimizer.gradient_scale

    @property
    def variables(self) -> list[Variable]:
        """Those of the inner optimizer."""
        return self.inner_optimizer.variables

    def bind(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr_multipliers: Mapping[str, float] | None = None,
    ) -> Optimizer:
        """Bind the inner optimizer."""
        self.inner_optimizer.bind(named_parameters, lr_multipliers)
        self.torch = self.inner_optimizer.torch
        self._named = self.inner_optimizer._named
        self._follow_inner()  # the members of a MultiOptimizer may be known only now
        self._forget_plan()
        return self

    def _rewind(self) -> None:
        self.inner_optimizer._rewind()

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss to call `backward()` on."""
        return loss * self.dynamic_scale

    def finalize_variable_values(self, var_list: Iterable[Tensor] | None = None) -> None:
        """Let the inner optimizer copy its averages."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[Tensor] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Tell the inner optimizer."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def _full_update(self, clear: bool = True) -> None:
        self._bound("update")
        if not self.is_due:
            # The scale stays the same until then, and all that is gathered has it.
            self.inner_optimizer.update()
            return
        grads = [p.grad for p in self._named.values() if p.grad is not None]
        if grads and not bool(torch.stack([torch.isfinite(g).all() for g in grads]).all()):
            self._good_steps = 0
            self.dynamic_scale /= 2
            self._rewind()
            if clear:
                self.inner_optimizer.zero_grad()
            return
        with torch.no_grad():
            if grads:
                kernels._foreach_div_(grads, self.dynamic_scale)
        if clear:
            self.inner_optimizer.update()
        else:
            self.inner_optimizer.step()
        self._good_steps += 1
        if self._good_steps == self.dynamic_growth_steps:
            self._good_steps = 0
            self.dynamic_scale *= 2

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's state and the scale."""
        scale = {"scale": self.dynamic_scale, "good_steps": self._good_steps}
        return {**self.inner_optimizer.state_dict(), "loss_scale": scale}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.inner_optimizer.load_state_dict(state_dict)
        saved = state_dict.get("loss_scale", {})
        self.dynamic_scale = saved.get("scale", self.dynamic_scale)
        self._good_steps = saved.get("good_steps", 0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "inner_optimizer": self.inner_optimizer,
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Any:
        """Make the optimizer, and the inner one if the config describes it."""
        return cls(**{key: registry.deserialize(v, custom_objects) for key, v in config.items()})
