"""Layers that normalise: by batch, by sample, by group, by length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish import constraints, initializers, regularizers
from kerasish.config import image_data_format
from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.checks import fraction
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.weights import KerasWeight


class _Normalization(Layer):
    """What normalisations share: a torch module `norm` with an optional scale and offset."""

    norm: Any

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon = float(epsilon)
        self.center, self.scale = center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True

    def _settle(self, norm: nn.Module) -> None:
        """Keep the module; drop the scale or offset that is not wanted."""
        if not self.scale:
            norm.register_parameter("weight", None)
        if not self.center:
            norm.register_parameter("bias", None)
        self.norm = norm

    def _size(self, input_shape: Sequence[int | None], axis: int) -> int:
        rank = len(input_shape)
        size = input_shape[axis] if -rank <= axis < rank else None
        if size is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" needs to know the size of axis {axis}, got '
                f"input shape {tuple(input_shape)}."
            )
        return size

    def own_weights(self) -> list[KerasWeight]:
        """Gamma and beta."""
        if not hasattr(self, "norm"):
            return []
        weights = []
        if self.scale:
            rules = self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint
            weights.append(KerasWeight("gamma", self.norm.weight, *rules))  # type: ignore[arg-type]
        if self.center:
            rules = self.beta_initializer, self.beta_regularizer, self.beta_constraint
            weights.append(KerasWeight("beta", self.norm.bias, *rules))  # type: ignore[arg-type]
        return weights


def channel_axis(axis: int | None, rank: int) -> int:
    """The channel axis that `axis=None` means: the image format's for images, else the last."""
    if axis is None:
        axis = 1 if rank >= 4 and image_data_format() == "channels_first" else -1
    return axis


class BatchNormalization(_Normalization):
    """Per channel, `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.

    In training, mean and variance are those of the batch, over all axes but the channels', and
    the stored ones move towards them; otherwise, and in a frozen layer, the stored ones are used.
    torch's kernel stores the unbiased variance, Keras the biased: n/(n-1) times less for n values
    per channel.

    Shapes:
        input: `(batch, features)`, `(batch, time, features)`, `(batch, channels, height, width)`, …
        norm.weight, norm.bias, norm.running_mean, norm.running_var: `(channels,)`
        output: as the input

    Args:
        axis: The channels' axis. `None` means that of the current image format where the input
            has four axes or more, else the last. A number is taken at its word.
        momentum: How much of the stored statistics a step keeps; torch's momentum is 1 minus it.
        epsilon: Added to the variance.
        center: Whether to add `beta`.
        scale: Whether to multiply by `gamma`.
        beta_initializer: Fills `beta`, zeros by default.
        gamma_initializer: Fills `gamma`, ones by default.
        moving_mean_initializer: Fills the stored mean, zeros by default.
        moving_variance_initializer: Fills the stored variance, ones by default.
        beta_regularizer: A penalty on `beta`.
        gamma_regularizer: A penalty on `gamma`.
        beta_constraint: Applied to `beta` after each update.
        gamma_constraint: Applied to `gamma` after each update.
        renorm: Must be false: batch renormalisation is not offered.
        renorm_clipping: Accepted for Keras's sake.
        renorm_momentum: Accepted for Keras's sake.
        synchronized: Whether processes of a distributed run share their statistics.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the channels' size is unknown, or an argument is out of range.

    Example:
        >>> BatchNormalization()(torch.ones(2, 3), training=False).shape
        torch.Size([2, 3])
    """

    norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm

    def __init__(
        self,
        axis: int | None = None,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
            raise ValueError(
                f"BatchNormalization: `axis` must be an integer or None, got {describe(axis)}."
            )
        if renorm:
            raise ValueError("BatchNormalization: renorm=True is not offered.")
        self.axis = axis
        self.momentum = fraction(self, "momentum", momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.synchronized = synchronized

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the torch module for the number of axes."""
        rank = len(input_shape)
        if rank < 2:
            raise ValueError(
                f'BatchNormalization "{self.name}" expects (batch, …, channels), got shape '
                f"{tuple(input_shape)}. Add a batch axis."
            )
        axis = channel_axis(self.axis, rank)
        size = self._size(input_shape, axis)
        self._channels_at = axis % rank
        self._as_rows = rank not in (4, 5) and self._channels_at == rank - 1
        kinds = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
        kind = nn.SyncBatchNorm if self.synchronized else kinds.get(rank, nn.BatchNorm1d)
        norm = kind(size, eps=self.epsilon, momentum=1 - self.momentum, dtype=self.variable_dtype)
        self._settle(norm.train(self.training and self.trainable))
        self.input_spec = InputSpec(ndim=rank, axes={axis: size})

    def own_weights(self) -> list[KerasWeight]:
        """Gamma, beta and the stored statistics."""
        if not hasattr(self, "norm"):
            return []
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None
        assert variance is not None
        return [
            *super().own_weights(),
            KerasWeight("moving_mean", mean, self.moving_mean_initializer),
            KerasWeight("moving_variance", variance, self.moving_variance_initializer),
        ]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise each channel; masked places do not count in the batch's statistics."""
        if mask is not None and self.training:
            return self._forward_masked(x, mask)
        if self._channels_at == 1 and x.dim() < 6:
            return self.norm(x)
        if self._as_rows:
            return self.norm(x.reshape(-1, x.shape[-1])).reshape(x.shape)
        moved = x.movedim(self._channels_at, 1)
        if x.dim() < 6:
            return self.norm(moved).movedim(1, self._channels_at)
        y = self.norm(moved.flatten(2)).unflatten(2, moved.shape[2:])
        return y.movedim(1, self._channels_at)

    def _forward_masked(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x.movedim(self._channels_at, -1)
        if mask.dim() != x.dim() - 1:
            raise ValueError(
                f'BatchNormalization "{self.name}": a mask has one axis less than the input, got '
                f"mask {tuple(mask.shape)} for input {tuple(x.shape)}."
            )
        counts = mask.unsqueeze(-1).to(torch.bool)
        axes = list(range(x.dim() - 1))
        number = counts.sum().to(x.dtype) + 1e-7
        mean = torch.where(counts, x, 0).sum(axes) / number
        variance = torch.where(counts, x - mean, 0).square().sum(axes) / number
        self._store(mean.detach(), variance.detach())
        y = (x - mean) * torch.rsqrt(variance + self.epsilon)
        if self.scale:
            y = y * self.norm.weight
        if self.center:
            y = y + self.norm.bias
        return y.movedim(-1, self._channels_at)

    def _store(self, mean: Tensor, variance: Tensor) -> None:
        for stored, new in ((self.norm.running_mean, mean), (self.norm.running_var, variance)):
            assert stored is not None
            stored.lerp_(new.to(stored.dtype), 1 - self.momentum)


def _axes(layer: Layer, axis: Any) -> list[int]:
    axes = [axis] if isinstance(axis, int) else axis
    good = isinstance(axes, (list, tuple)) and axes and all(isinstance(a, int) for a in axes)
    if not good:
        raise TypeError(
            f"{type(layer).__name__}: `axis` must be an integer or several, got {describe(axis)}."
        )
    return list(axes)


class _LastAxes(_Normalization):
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
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
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
        super().__init__(epsilon, False, True, None, "ones", None, None, None, None, **kwargs)
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


class GroupNormalization(_Normalization):
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
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
        self.groups, self.axis = groups, axis

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the `nn.GroupNorm`."""
        rank = len(input_shape)
        axis = channel_axis(self.axis, rank)
        size = self._size(input_shape, axis)
        groups = size if self.groups == -1 else self.groups
        if groups < 1 or size % groups:
            raise ValueError(
                f'GroupNormalization "{self.name}": {groups} groups do not divide {size} channels '
                f"(axis {axis} of input shape {tuple(input_shape)}). Give another `groups`."
            )
        self._channels_at = axis % rank
        self._settle(nn.GroupNorm(groups, size, eps=self.epsilon, dtype=self.variable_dtype))
        self.input_spec = InputSpec(ndim=rank, axes={axis: size})

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each group."""
        if self._channels_at == 1:
            return self.norm(x)
        return self.norm(x.movedim(self._channels_at, 1)).movedim(1, self._channels_at)


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

    def forward(self, x: Tensor) -> Tensor:
        """Scale to length one; a vector shorter than 1e-6 is divided by that."""
        return F.normalize(x, dim=self.axis, eps=1e-6)  # type: ignore[arg-type]
