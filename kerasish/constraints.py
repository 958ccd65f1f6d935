"""Projections that weights are put through after each update."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from kerasish import config, registry

Axis = int | Sequence[int]


class Constraint:
    """What all constraints are: a call `constraint(weight)` that returns the allowed weight nearby.

    Weights come in Keras's layout: Dense kernels are `(in, out)`, Conv ones `(*spatial, in, out)`.
    """

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        """The allowed weight; the base class allows all."""
        return w

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, read from the attributes of the same names."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        """Make the constraint that `get_config` described."""
        return cls(**registry.deserialize(config))


class MaxNorm(Constraint):
    """Weights whose norm is over `max_value` are scaled down to it.

    Args:
        max_value: The largest norm.
        axis: Axes the norm is taken over: 0 for a Dense kernel (one norm per unit), `[0, 1, 2]`
            for a Conv2D kernel (one per filter).
    """

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        """The allowed weight near `w`."""
        norms = _norms(w, self.axis)
        return w * (torch.clamp(norms, 0, self.max_value) / (config.epsilon() + norms))


class NonNeg(Constraint):
    """Negative weights become 0."""

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        """The allowed weight near `w`."""
        return torch.relu(w)


class UnitNorm(Constraint):
    """Weights are scaled to norm 1.

    Args:
        axis: Axes the norm is taken over, as in `MaxNorm`.
    """

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        """The allowed weight near `w`."""
        return w / (config.epsilon() + _norms(w, self.axis))


class MinMaxNorm(Constraint):
    """Weights are scaled so that their norm comes to lie between two bounds.

    Args:
        min_value: The smallest norm.
        max_value: The largest norm.
        rate: How far to go: 1 puts the norm into the bounds at once, less moves it by that part.
        axis: Axes the norm is taken over, as in `MaxNorm`.
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = 0
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        """The allowed weight near `w`."""
        norms = _norms(w, self.axis)
        inside = torch.clamp(norms, self.min_value, self.max_value)
        wanted = self.rate * inside + (1 - self.rate) * norms
        return w * (wanted / (config.epsilon() + norms))


def _norms(w: torch.Tensor, axis: Axis) -> torch.Tensor:
    dim = axis if isinstance(axis, int) else tuple(axis)
    return torch.sqrt(torch.sum(torch.square(w), dim=dim, keepdim=True))


max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

_CLASSES = (MaxNorm, MinMaxNorm, NonNeg, UnitNorm, Constraint)
_NAMES: dict[str, type[Constraint]] = {
    **{cls.__name__: cls for cls in _CLASSES},
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}


def get(identifier: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The constraint that a name, config, class, instance or function means; `None` stays `None`.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is nothing that can be called.
    """
    return registry.resolve(identifier, _NAMES, "constraint")


def serialize(constraint: Any) -> Any:
    """The config of a constraint."""
    return registry.serialize(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the constraint that `serialize` described, or that a name means."""
    return get(config) if isinstance(config, str) else registry.deserialize(config, custom_objects)
