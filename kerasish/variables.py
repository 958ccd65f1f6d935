"""Variable: a torch parameter with Keras's words for changing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kerasish import initializers
from kerasish.config import as_dtype, floatx
from kerasish.describe import describe

# Tensor.name is torch's own and cannot be set.
_NAME = "_variable_name"


class Variable(nn.Parameter):
    """A tensor with a state: an `nn.Parameter` that `assign` changes in place.

    Set as an attribute of a layer or any module, it is one of its parameters.

    Args:
        initializer: The first values; or, with `shape`, the name of an initialiser or a function of
            `(shape, dtype)`.
        shape: The shape, where an initialiser is given.
        dtype: The number type, by default that of the values, or the default float type.
        trainable: Whether gradients are computed for it.
        autocast: Accepted for Keras's sake.
        aggregation: Accepted for Keras's sake.
        synchronization: Accepted for Keras's sake.
        name: A label.

    Raises:
        ValueError: If an initialiser comes without a shape.

    Example:
        >>> total = Variable(1.0)
        >>> total.assign_add(2.0).numpy()
        array(3., dtype=float32)
    """

    def __new__(  # noqa: D102
        cls,
        initializer: Any,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str = "none",
        synchronization: str = "auto",
        name: str | None = None,
    ) -> Variable:
        values = _first_values(initializer, shape, dtype)
        trainable = trainable and (values.is_floating_point() or values.is_complex())
        self = Tensor._make_subclass(cls, values, trainable)
        setattr(self, _NAME, name or "variable")
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    @property
    def name(self) -> str:  # type: ignore[override]
        """The label."""
        return getattr(self, _NAME, "variable")

    @property
    def trainable(self) -> bool:
        """Whether gradients are computed for it."""
        return self.requires_grad

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad_(bool(value))

    @property
    def value(self) -> Tensor:
        """The tensor: itself."""
        return self

    @torch.no_grad()
    def assign(self, value: Any) -> Variable:
        """Replace the numbers.

        Raises:
            ValueError: If the shapes differ.
        """
        value = torch.as_tensor(value)
        if value.shape != self.shape:
            raise ValueError(
                f'Variable "{self.name}" has shape {tuple(self.shape)}, got {describe(value)}.'
            )
        self.copy_(value)
        return self

    @torch.no_grad()
    def assign_add(self, value: Any) -> Variable:
        """Add to the numbers."""
        self.add_(torch.as_tensor(value, device=self.device))
        return self

    @torch.no_grad()
    def assign_sub(self, value: Any) -> Variable:
        """Subtract from the numbers."""
        self.sub_(torch.as_tensor(value, device=self.device))
        return self

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The numbers as an array."""
        return self.detach().cpu().numpy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        if id(self) not in memo:
            values = self.detach().clone(memory_format=torch.preserve_format)
            memo[id(self)] = Variable(values, trainable=self.requires_grad, name=self.name)
        return memo[id(self)]


def _first_values(initializer: Any, shape: Sequence[int] | None, dtype: Any) -> Tensor:
    kind = None if dtype is None else as_dtype(dtype)
    make: Callable | None = None
    if isinstance(initializer, (str, dict)):
        make = initializers.get(initializer)
    elif callable(initializer) and not isinstance(initializer, Tensor):
        make = initializer
    if make is not None:
        if shape is None:
            raise ValueError("Variable: an initializer needs a `shape`, such as `shape=(2, 3)`.")
        return make(tuple(shape), dtype=kind or as_dtype(floatx())).detach()
    values = torch.as_tensor(initializer).detach().clone()
    if kind is None and values.dtype == torch.float64 and not isinstance(initializer, Tensor):
        kind = as_dtype(floatx())
    values = values if kind is None else values.to(kind)
    return values if shape is None else values.reshape(tuple(shape))
