"""A loss scale that finds its own size, for training in float16."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from kerasish import registry
from kerasish.optimizers.base import Optimizer
from kerasish.optimizers.direct import kernels


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
        super().__init__(inner_optimizer.learning_rate, name=name)
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        self.dynamic_scale = float(initial_scale)
        self._good_steps = 0

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
    def iterations(self) -> int:
        """Number of weight updates so far; skipped ones do not count."""
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.inner_optimizer.iterations = value

    def bind(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr_multipliers: Mapping[str, float] | None = None,
    ) -> Optimizer:
        """Bind the inner optimizer."""
        self.inner_optimizer.bind(named_parameters, lr_multipliers)
        self.torch = self.inner_optimizer.torch
        self._named = self.inner_optimizer._named
        self._forget_plan()
        return self

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
        grads = [p.grad for p in self._named.values() if p.grad is not None]
        if grads and not bool(torch.stack([torch.isfinite(g).all() for g in grads]).all()):
            self._good_steps = 0
            self.dynamic_scale /= 2
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
