"""Penalties on weights or activations, added to the loss."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish import registry
from kerasish.describe import describe, suggest


class Regularizer:
    """What all regularizers are: a call `regularizer(x)` that returns a 0-d term of the loss."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The penalty for `x`; the base class asks for none."""
        return x.new_zeros(())

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, read from the attributes of the same names."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        """Make the regularizer that `get_config` described."""
        return cls(**registry.deserialize(config))


class L1(Regularizer):
    """`l1 * sum(|x|)`."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor("L1", "l1", l1, 0.01)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The penalty for `x`, a 0-d tensor."""
        return self.l1 * torch.sum(torch.abs(x))


class L2(Regularizer):
    """`l2 * sum(x²)`."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor("L2", "l2", l2, 0.01)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The penalty for `x`, a 0-d tensor."""
        return self.l2 * torch.sum(torch.square(x))


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x²)`."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _factor("L1L2", "l1", l1, 0.0)
        self.l2 = _factor("L1L2", "l2", l2, 0.0)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The penalty for `x`, a 0-d tensor."""
        return self.l1 * torch.sum(torch.abs(x)) + self.l2 * torch.sum(torch.square(x))


class OrthogonalRegularizer(Regularizer):
    """`factor * mean(|cos|)` over all pairs of rows (or columns) of a matrix.

    Args:
        factor: The weight of the penalty.
        mode: `"rows"` or `"columns"`: which vectors are to become orthogonal.

    Raises:
        ValueError: If an argument is out of range, or the tensor is not a matrix.

    Example:
        >>> OrthogonalRegularizer(1.0)(torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
        tensor(0.6000)
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor("OrthogonalRegularizer", "factor", factor, 0.01)
        if mode not in ("rows", "columns"):
            raise ValueError(
                f"OrthogonalRegularizer: unknown mode {describe(mode)}"
                f"{suggest(mode, ['rows', 'columns'])}."
            )
        self.mode = mode

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The penalty for the matrix `x`, a 0-d tensor."""
        if x.ndim != 2:
            raise ValueError(f"OrthogonalRegularizer expects a matrix, got {describe(x)}.")
        rows = F.normalize(x if self.mode == "rows" else x.T, dim=1)
        cosines = torch.abs(rows @ rows.T)
        num_rows = rows.shape[0]
        return self.factor * torch.triu(cosines, 1).sum() / (num_rows * (num_rows - 1) / 2)


def _factor(owner: str, name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise ValueError(
            f"{owner}: `{name}` must be a non-negative finite number, got {describe(value)}."
        )
    return float(value)


l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_CLASSES = (L1, L2, L1L2, OrthogonalRegularizer, Regularizer)
_NAMES: dict[str, type[Regularizer]] = {
    **{cls.__name__: cls for cls in _CLASSES},
    "l1": L1,
    "l2": L2,
    "l1_l2": L1L2,
    "l1l2": L1L2,
    "orthogonal_regularizer": OrthogonalRegularizer,
}


def get(identifier: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The regularizer that a name, config, class, instance or function means; `None` stays `None`.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is nothing that can be called.
    """
    return registry.resolve(identifier, _NAMES, "regularizer")


def serialize(regularizer: Any) -> Any:
    """The config of a regularizer."""
    return registry.serialize(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the regularizer that `serialize` described, or that a name means."""
    return get(config) if isinstance(config, str) else registry.deserialize(config, custom_objects)
