"""Normalisations of each sample by itself: over axes, over groups of channels, to unit length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from kerasish.describe import describe
from kerasish.layers.arguments import ActivityOptions
from kerasish.layers.base import Layer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.normalization.base import ChannelNormalization, Normalization
from kerasish.layers.weights import KerasWeight


def _axes(layer: Layer, axis: Any) -> list[int]:
    axes = [axis] if isinstance(axis, int) else axis
    good = isinstance(axes, (list, tuple)) and axes and all(isinstance(a, int) for a in axes)
    if not good:
        raise TypeError(
            f"{type(layer).__name__}: `axis` must be an integer or several, got {describe(axis)}."
        )
    return list(axes)


class _LastAxes(Normalization):
    """Normalisation over given axes by a torch module that works on the last ones."""

    axis: list[int]

    def _normalized_shape(self, input_shape: Sequence[int | None]) -> list[int]:
        """Note where the axes are, and give their sizes."""
        rank = len(input_shape)
        sizes = {axis: self._size(input_shape, axis) for axis in self.axis}
        self._moved = sorted(axis % rank for axis in self.axis)
        self._last = list(range(rank - len(self._moved), rank))
        self.input_spec = InputSpec(ndim=rank, axes=sizes)
        return [sizes[axis] for axis in sorted(self.axis, key=lambda a: a % rank)]

    is_transparent = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over the axes."""
        if self._moved == self._last:
            return self.norm(x)
        return self.norm(x.movedim(self._moved, self._last)).movedim(self._last, self._moved)


class LayerNormalization(_LastAxes):
    """Per sample, `gamma * (x - mean) / sqrt(variance + epsilon) + beta` over the given axes.

    Shapes:
        input: `(batch, ...)`
        norm.weight, norm.bias: the sizes of the axes
        output: as the input

    Args:
        axis: The axis, or several, that mean and variance are taken over.
        epsilon: Added to the variance.
        center: Whether to add `beta`.
        scale: Whether to multiply by `gamma`.
        beta_initializer: Fills `beta`, zeros by default.
        gamma_initializer: Fills `gamma`, ones by default.
        beta_regularizer: A penalty on `beta`.
        gamma_regularizer: A penalty on `gamma`.
        beta_constraint: Applied to `beta` after each update.
        gamma_constraint: Applied to `gamma` after each update.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If `axis` is not an integer or several.
        ValueError: If the size of an axis is unknown.

    Example:
        >>> LayerNormalization()(torch.tensor([[1.0, 3.0]])).round()
        tensor([[-1.,  1.]], grad_fn=<RoundBackward0>)
    """

    norm: nn.LayerNorm

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Unpack[ActivityOptions],
    ) -> None:
        beta = beta_initializer, beta_regularizer, beta_constraint
        gamma = gamma_initializer, gamma_regularizer, gamma_constraint
        super().__init__(epsilon, center, scale, beta, gamma, **kwargs)
        self.axis = _axes(self, axis)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the `nn.LayerNorm`."""
        shape = self._normalized_shape(input_shape)
        self._settle(nn.LayerNorm(shape, eps=self.epsilon, dtype=self.variable_dtype))


class RMSNormalization(_LastAxes):
    """`scale * x / sqrt(mean(x²) + epsilon)` over the given axes.

    Shapes:
        input: `(batch, ...)`
        norm.weight: the sizes of the axes
        output: as the input

    Args:
        axis: The axis, or several, that the mean is taken over.
        epsilon: Added to the mean square.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If `axis` is not an integer or several.
        ValueError: If the size of an axis is unknown.

    Example:
        >>> RMSNormalization()(torch.tensor([[2.0, -2.0]])).round()
        tensor([[ 1., -1.]], grad_fn=<RoundBackward0>)
    """

    norm: nn.RMSNorm

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs: Any
    ) -> None:
        super().__init__(epsilon, False, True, **kwargs)
        self.axis = _axes(self, axis)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the `nn.RMSNorm`."""
        shape = self._normalized_shape(input_shape)
        self.norm = nn.RMSNorm(shape, eps=self.epsilon, dtype=self.variable_dtype)

    def own_weights(self) -> list[KerasWeight]:
        """The scale."""
        if not hasattr(self, "norm"):
            return []
        return [KerasWeight("scale", self.norm.weight, self.gamma_initializer)]


class GroupNormalization(ChannelNormalization):
    """Per sample and group of channels, `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.

    Shapes:
        input: `(batch, channels, ...)` or `(batch, ..., channels)`
        norm.weight, norm.bias: `(channels,)`
        output: as the input

    Args:
        groups: The number of groups; it divides the number of channels. -1 makes each channel a
            group (instance normalisation), 1 all channels together.
        axis: The channels' axis. `None` means that of the current image format where the input
            has four axes or more, else the last. A number is taken at its word.
        epsilon: Added to the variance.
        center: Whether to add `beta`.
        scale: Whether to multiply by `gamma`.
        beta_initializer: Fills `beta`, zeros by default.
        gamma_initializer: Fills `gamma`, ones by default.
        beta_regularizer: A penalty on `beta`.
        gamma_regularizer: A penalty on `gamma`.
        beta_constraint: Applied to `beta` after each update.
        gamma_constraint: Applied to `gamma` after each update.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the channels' size is unknown or not a multiple of `groups`.
    """

    norm: nn.GroupNorm

    def __init__(
        self,
        groups: int = 32,
        axis: int | None = None,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Unpack[ActivityOptions],
    ) -> None:
        beta = beta_initializer, beta_regularizer, beta_constraint
        gamma = gamma_initializer, gamma_regularizer, gamma_constraint
        super().__init__(epsilon, center, scale, beta, gamma, **kwargs)
        self.groups, self.axis = groups, axis

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the `nn.GroupNorm`."""
        size = self._find_channels(input_shape)
        groups = size if self.groups == -1 else self.groups
        if groups < 1 or size % groups:
            raise ValueError(
                f'GroupNormalization "{self.name}": {groups} groups do not divide {size} channels '
                f"(axis {self.channels_at} of shape {tuple(input_shape)}). Give another `groups`."
            )
        self._settle(nn.GroupNorm(groups, size, eps=self.epsilon, dtype=self.variable_dtype))

    is_transparent = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each group."""
        if self.channels_at == 1:
            return self.norm(x)
        return self.norm(x.movedim(self.channels_at, 1)).movedim(1, self.channels_at)


class UnitNormalization(Layer):
    """`x / ‖x‖₂` over the given axes.

    Args:
        axis: The axis, or several, that the norm is taken over.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If `axis` is not an integer or several.

    Example:
        >>> UnitNormalization()(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = _axes(self, axis)
        self.supports_masking = True

    is_transparent = True

    def forward(self, x: Tensor) -> Tensor:
        """Scale to length one; a vector shorter than 1e-6 is divided by that."""
        return torch.nn.functional.normalize(x, dim=self.axis, eps=1e-6)  # type: ignore[arg-type]
