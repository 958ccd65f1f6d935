"""What all initializers are, and how a name, config or array becomes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from kerasish import config, registry
from kerasish.describe import describe, suggest
from kerasish.devices import as_torch_takes

Shape = Sequence[int]

# What the strings stand for; the package's table of contents fills it.
NAMES: dict[str, type[Initializer]] = {}


class Initializer:
    """What all initializers are: a call `initializer(shape, dtype=None)` that returns a new tensor.

    The tensor lies on torch's default device. With `seed=None` each call draws anew from torch's
    global generator; with an integer each call gives the same values, on any device; a
    `SeedGenerator` gives new values at each call, in a sequence that repeats.
    """

    def __call__(self, shape: Shape, dtype: Any = None) -> torch.Tensor:
        """Make the values.

        Args:
            shape: The shape in Keras's layout, from which fan-in and fan-out are read.
            dtype: Defaults to `config.floatx()`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement __call__.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, read from the attributes of the same names."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Make the initializer that `get_config` described."""
        return cls(**registry.deserialize(config))

    def clone(self) -> Initializer:
        """A new initializer with the same arguments."""
        return type(self)(**self.get_config())


def get(identifier: Any) -> Callable[..., torch.Tensor] | None:
    """The initializer that a name, config, class, function or array means; `None` stays `None`.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is nothing that can be called.

    Example:
        >>> get(np.eye(2))((2, 2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    if isinstance(identifier, (np.ndarray, np.generic, torch.Tensor)):
        return _from_values(identifier)
    return registry.resolve(identifier, NAMES, "initializer")


def _from_values(values: Any) -> Callable[..., torch.Tensor]:
    def initialize(shape: Shape, dtype: Any = None) -> torch.Tensor:
        if tuple(shape) != tuple(values.shape):
            raise ValueError(
                f"The initial values are {describe(values)}, "
                f"but the weight has shape {tuple(shape)}."
            )
        return torch.as_tensor(as_torch_takes(values), dtype=as_float_type(dtype)).clone()

    return initialize


def serialize(initializer: Any) -> Any:
    """The config of an initializer."""
    return registry.serialize(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the initializer that `serialize` described, or that a name means."""
    return get(config) if isinstance(config, str) else registry.deserialize(config, custom_objects)


def as_float_type(dtype: Any) -> torch.dtype:
    """The torch type that a `dtype` argument means; `None` is `config.floatx()`."""
    return config.as_dtype(config.floatx() if dtype is None else dtype)


def one_of(owner: str, argument: str, value: Any, known: Sequence[str]) -> str:
    """The value, if it is one of the known ones; else a ValueError that suggests the nearest."""
    if value not in known:
        raise ValueError(f"{owner}: unknown {argument} {describe(value)}{suggest(value, known)}.")
    return value
