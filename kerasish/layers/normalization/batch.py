"""Batch normalisation."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from kerasish import initializers
from kerasish.describe import describe
from kerasish.layers.arguments import ActivityOptions
from kerasish.layers.checks import fraction
from kerasish.layers.normalization.base import ChannelNormalization
from kerasish.layers.normalization.biased import (
    BiasedBatchNorm1d,
    BiasedBatchNorm2d,
    BiasedBatchNorm3d,
    BiasedSyncBatchNorm,
)
from kerasish.layers.weights import KerasWeight

_RENORM = ("moving_stddev", "renorm_mean", "renorm_stddev")


class BatchNormalization(ChannelNormalization):
    """Per channel, `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.

    In training, mean and variance are those of the batch, over all axes but the channels', and
    the stored ones move towards them; otherwise, and in a frozen layer, the stored ones are used.
    The stored variance is the biased one, as in Keras; a plain `torch.nn` module, and so what
    `model.to_torch()` makes of this layer, stores n/(n-1) times that of n values per channel. A
    single value per channel has variance 0.

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
        renorm: Whether to correct the batch's statistics towards slower moving ones, so that small
            batches train like large ones (batch renormalisation).
        renorm_clipping: Limits of the correction: `rmin` and `rmax` of the factor, `dmax` of the
            shift.
        renorm_momentum: As `momentum`, for the statistics that the correction goes by.
        synchronized: Whether processes of a distributed run share their statistics.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the channels' size is unknown, or an argument is out of range.

    Example:
        >>> BatchNormalization()(torch.ones(2, 3), training=False).shape
        torch.Size([2, 3])
    """

    _meets_masks = False  # whether a call has given a mask, which training treats by hand
    moving_stddev: Tensor
    renorm_mean: Tensor
    renorm_stddev: Tensor

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
        **kwargs: Unpack[ActivityOptions],
    ) -> None:
        beta = beta_initializer, beta_regularizer, beta_constraint
        gamma = gamma_initializer, gamma_regularizer, gamma_constraint
        super().__init__(epsilon, center, scale, beta, gamma, **kwargs)
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
            raise ValueError(
                f"BatchNormalization: `axis` must be an integer or None, got {describe(axis)}."
            )
        self.axis = axis
        self.momentum = fraction(self, "momentum", momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.synchronized = synchronized
        self.renorm = renorm
        self.renorm_clipping = self._checked_clipping(renorm_clipping)
        self.renorm_momentum = fraction(self, "renorm_momentum", renorm_momentum)

    @staticmethod
    def _checked_clipping(clipping: dict[str, float] | None) -> dict[str, float]:
        clipping = dict(clipping or {})
        if not set(clipping) <= {"rmin", "rmax", "dmax"}:
            raise ValueError(
                "BatchNormalization: `renorm_clipping` may have the keys 'rmin', 'rmax' and "
                f"'dmax', got {describe(sorted(clipping))}."
            )
        return clipping

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the torch module for the number of axes."""
        rank = len(input_shape)
        if rank < 2:
            raise ValueError(
                f'BatchNormalization "{self.name}" expects (batch, …, channels), got shape '
                f"{tuple(input_shape)}. Add a batch axis."
            )
        size = self._find_channels(input_shape)
        self._as_rows = rank not in (4, 5) and self.channels_at == rank - 1
        kinds = {4: BiasedBatchNorm2d, 5: BiasedBatchNorm3d}
        usual = kinds.get(rank, BiasedBatchNorm1d)
        kind = BiasedSyncBatchNorm if self.synchronized else usual
        norm = kind(size, eps=self.epsilon, momentum=1 - self.momentum, dtype=self.variable_dtype)
        self._settle(norm.train(self.training and self.trainable))
        if self.renorm:
            for name in _RENORM:
                self.register_buffer(name, torch.empty(size, dtype=self.variable_dtype))

    def own_weights(self) -> list[KerasWeight]:
        """Gamma, beta and the stored statistics."""
        if not hasattr(self, "norm"):
            return []
        mean, variance = self.norm.running_mean, self.norm.running_var
        weights = [
            *super().own_weights(),
            KerasWeight("moving_mean", mean, self.moving_mean_initializer),
            KerasWeight("moving_variance", variance, self.moving_variance_initializer),
        ]
        if self.renorm:
            starts = self._first_stddev, self.moving_mean_initializer, self._first_stddev
            for name, start in zip(_RENORM, starts, strict=True):
                weights.append(KerasWeight(name, self._buffers[name], start))  # type: ignore[arg-type]
        return weights

    def _first_stddev(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        assert self.moving_variance_initializer is not None
        return self.moving_variance_initializer(shape, dtype=dtype).sqrt()

    @property
    def is_transparent(self) -> bool:  # type: ignore[override]
        """Whether it is one call of torch's module, in every mode."""
        return not self.renorm and not self._meets_masks and self.input_spec.ndim < 6  # type: ignore[union-attr,operator]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise each channel; masked places do not count in the batch's statistics."""
        if mask is not None:
            self._meets_masks = True
        if self.training and (mask is not None or self.renorm):
            return self._forward_by_hand(x, mask)
        if self.channels_at == 1 and x.dim() < 6:
            return self.norm(x)
        if self._as_rows:
            return self.norm(x.reshape(-1, x.shape[-1])).view_as(x)
        moved = x.movedim(self.channels_at, 1)
        if x.dim() < 6:
            return self.norm(moved).movedim(1, self.channels_at)
        y = self.norm(moved.flatten(2)).unflatten(2, moved.shape[2:])
        return y.movedim(1, self.channels_at)

    def _forward_by_hand(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """What torch's kernel cannot do in training: masks, and renormalisation."""
        if mask is not None and mask.dim() != x.dim() - 1:
            raise ValueError(
                f'BatchNormalization "{self.name}": a mask has one axis less than the input, got '
                f"mask {tuple(mask.shape)} for input {tuple(x.shape)}."
            )
        given, wide = x.dtype, torch.promote_types(x.dtype, torch.float32)
        x = x.movedim(self.channels_at, -1).to(wide)
        mean, variance = _moments(x, mask)
        y = (x - mean) * torch.rsqrt(variance + self.epsilon)
        if self.renorm:
            y = self._renormalized(y, mean.detach(), variance.detach())
        else:
            self._approach(self.norm.running_mean, mean, self.momentum)
            self._approach(self.norm.running_var, variance, self.momentum)
        if self.scale:
            y = y * self.norm.weight
        if self.center:
            y = y + self.norm.bias
        return y.movedim(-1, self.channels_at).to(given)

    def _renormalized(self, y: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Correct for the distance between the batch's statistics and the moving ones."""
        stddev = torch.sqrt(variance + self.epsilon)
        usual = self.renorm_stddev.clamp(min=self.epsilon**0.5)
        clip = self.renorm_clipping
        factor = stddev / usual
        if "rmin" in clip or "rmax" in clip:
            factor = factor.clamp(clip.get("rmin"), clip.get("rmax"))
        shift = (mean - self.renorm_mean) / usual
        if clip.get("dmax") is not None:
            shift = shift.clamp(-clip["dmax"], clip["dmax"])
        y = y * factor + shift
        self._approach(self.renorm_mean, mean, self.renorm_momentum)
        self._approach(self.renorm_stddev, stddev, self.renorm_momentum)
        self._approach(self.norm.running_mean, mean, self.momentum)
        self._approach(self.moving_stddev, stddev, self.momentum)
        self.norm.running_var.copy_(torch.relu(self.moving_stddev.square() - self.epsilon))
        return y

    def _approach(self, stored: Tensor, new: Tensor, momentum: float) -> None:
        wide = torch.promote_types(stored.dtype, new.dtype)
        stored.copy_(stored.to(wide).lerp(new.detach().to(wide), 1 - momentum))


def _moments(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over all axes but the last, of what the mask lets through."""
    axes = list(range(x.dim() - 1))
    if mask is None:
        variance, mean = torch.var_mean(x, axes, correction=0)
        return mean, variance
    counts = mask.unsqueeze(-1).to(torch.bool)
    number = counts.sum().to(x.dtype) + 1e-7
    mean = torch.where(counts, x, 0).sum(axes) / number
    return mean, torch.where(counts, x - mean, 0).square().sum(axes) / number
