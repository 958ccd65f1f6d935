"""Activation functions that have settings or weights, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish import activations, constraints, initializers, regularizers
from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.weights import KerasWeight


def _number(layer: Layer, argument: str, value: Any, minimum: float | None = None) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or (minimum is not None and value < minimum):
        least = "" if minimum is None else f" >= {minimum:g}"
        raise ValueError(
            f"{type(layer).__name__}: `{argument}` must be a number{least}, got {describe(value)}."
        )
    return float(value)


class ReLU(Layer):
    """Rectifier: `max(x, 0)`, with Keras's three options.

    Args:
        max_value: The largest value returned; `None` sets no limit. Not negative.
        negative_slope: The slope below `threshold`. Not negative.
        threshold: Values up to it are cut off. Not negative.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is negative or not a number.

    Example:
        >>> ReLU(max_value=6)(torch.tensor([[-1.0, 2.0, 9.0]]))
        tensor([[0., 2., 6.]])
    """

    is_transparent = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else _number(self, "max_value", max_value, 0)
        self.negative_slope = _number(self, "negative_slope", negative_slope, 0)
        self.threshold = _number(self, "threshold", threshold, 0)
        self.supports_masking = True

    def forward(self, x: Tensor) -> Tensor:
        """Rectify."""
        return activations.relu(x, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """`x` where positive, else `negative_slope * x`.

    Args:
        negative_slope: Not negative.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `negative_slope` is negative or not a number.

    Example:
        >>> LeakyReLU(0.5)(torch.tensor([[-2.0, 2.0]]))
        tensor([[-1.,  2.]])
    """

    is_transparent = True

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)  # Keras 2's name
        super().__init__(**kwargs)
        self.negative_slope = _number(self, "negative_slope", negative_slope, 0)
        self.supports_masking = True

    def forward(self, x: Tensor) -> Tensor:
        """Rectify, leaking."""
        return F.leaky_relu(x, self.negative_slope)


class PReLU(Layer):
    """`x` where positive, else `alpha * x`, with one learned `alpha` for each feature.

    Shapes:
        input: `(batch, ...)`
        alpha: the shape of one sample, 1 on the shared axes
        output: as the input

    Args:
        alpha_initializer: Fills `alpha`, zeros by default.
        alpha_regularizer: A penalty on `alpha`.
        alpha_constraint: Applied to `alpha` after each update.
        shared_axes: Axes along which one `alpha` serves all; the batch axis is 0. For images
            with channels first, `[2, 3]` gives one per channel.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the size of an axis that is not shared is unknown.
    """

    alpha: nn.Parameter

    is_transparent = True

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Sequence[int] | int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes
        self.shared_axes = None if axes is None else list(axes)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make `alpha`."""
        rank = len(input_shape)
        shared = {axis % rank for axis in self.shared_axes or ()}
        shape = [1 if axis in shared else input_shape[axis] for axis in range(1, rank)]
        if None in shape:
            raise ValueError(
                f'PReLU "{self.name}" needs to know the sizes of the axes that are not shared, got '
                f"input shape {tuple(input_shape)}. Name the unknown axes in shared_axes."
            )
        self.alpha = self.add_weight(shape, "zeros", name="alpha")  # type: ignore[arg-type]
        sizes = {a: s for a, s in enumerate(input_shape) if a and a not in shared and s is not None}
        self.input_spec = InputSpec(ndim=rank, axes=sizes)

    def own_weights(self) -> list[KerasWeight]:
        """The slopes."""
        if not hasattr(self, "alpha"):
            return []
        rules = self.alpha_initializer, self.alpha_regularizer, self.alpha_constraint
        return [KerasWeight("alpha", self.alpha, *rules)]

    def forward(self, x: Tensor) -> Tensor:
        """Rectify, with the learned slopes."""
        return torch.where(x > 0, x, self.alpha * x)


class ELU(Layer):
    """`x` where positive, else `alpha * (exp(x) - 1)`.

    Args:
        alpha: Minus the limit at minus infinity.
        **kwargs: Those of `Layer`.

    Example:
        >>> ELU()(torch.tensor([[0.0, 2.0]]))
        tensor([[0., 2.]])
    """

    is_transparent = True

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = _number(self, "alpha", alpha)
        self.supports_masking = True

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return F.elu(x, self.alpha)


class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along an axis; masked places get probability 0.

    Args:
        axis: The axis, or several, that sum to one.
        **kwargs: Those of `Layer`.

    Example:
        >>> Softmax()(torch.zeros(1, 4))
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    is_transparent = True

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.supports_masking = True

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise; `mask` is true where a value counts and broadcasts to the input."""
        if mask is None:
            return self._softmax(x)
        hidden = ~mask if mask.dtype == torch.bool else mask <= 0.5
        # A finite number, not minus infinity: a row with nothing in it must not become NaN.
        floor = -3e4 if x.dtype == torch.float16 else -1e9
        return self._softmax(x.masked_fill(hidden, floor)).masked_fill(hidden, 0.0)

    def _softmax(self, x: Tensor) -> Tensor:
        if isinstance(self.axis, int):
            return activations.softmax(x, axis=self.axis)
        if len(self.axis) == 1:
            return activations.softmax(x, axis=self.axis[0])
        return torch.exp(x - torch.logsumexp(x, dim=self.axis, keepdim=True))
