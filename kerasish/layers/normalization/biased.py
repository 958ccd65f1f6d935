"""torch's batch normalisations, with Keras's stored variance: the biased one.

Of n values, torch's kernels mix the unbiased variance, n/(n-1) times the biased, into the stored
one. Let the stored one be as much too large beforehand, and the result is too: dividing makes it
Keras's.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

_HALVES = (torch.bfloat16, torch.float16)


@functools.lru_cache(maxsize=256)
def _number(value: float, dtype: torch.dtype) -> Tensor:
    """A number as a tensor: torch makes one of it at each call, which takes twice the product."""
    return torch.tensor(value, dtype=dtype, device="cpu")


class BiasedNorm(_BatchNorm):
    """In training, stores what Keras stores, and takes a single value per channel, as Keras does.

    All else is as in the torch module that each kind also is.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel; channels are the second axis."""
        if not self.training or not self.track_running_stats:
            return super().forward(input)
        # Asked for as attributes, all these would take as long as a small kernel.
        buffers, parameters, momentum = self._buffers, self._parameters, self.momentum
        count, variance = buffers["num_batches_tracked"], buffers["running_var"]
        assert count is not None
        assert variance is not None
        count.add_(1)
        if momentum is None:  # what is stored is to be the mean over all batches
            momentum = 1 / float(count)
        number = input.numel() // self.num_features
        if number < 2 or variance.dtype in _HALVES or type(variance) is not Tensor:
            return self._forward_rarely(input, number, momentum)
        try:
            hidden = variance.data  # autograd does not see the kernel change its values either
        except RuntimeError:  # torch.vmap hides it
            return self._forward_rarely(input, number, momentum)
        try:
            weight, bias = parameters["weight"], parameters["bias"]
        except KeyError:  # a parametrisation or pruning makes them
            weight, bias = self.weight, self.bias
        # Divided, since products with a rounded reciprocal drift over thousands of steps.
        excess: Any = number / (number - 1)
        if not torch.compiler.is_compiling():
            excess = _number(excess, variance.dtype)
        hidden.mul_(excess)
        try:
            return torch.batch_norm(
                input,
                weight,
                bias,
                buffers["running_mean"],
                variance,
                True,
                momentum,
                self.eps,
                torch.backends.cudnn.enabled,
            )
        finally:
            hidden.div_(excess)

    def _forward_rarely(self, x: Tensor, number: int, momentum: float) -> Tensor:
        """One value per channel or none, stored values in a half type, and torch's transforms."""
        mean, variance = self.running_mean, self.running_var
        assert mean is not None
        assert variance is not None
        wide = torch.promote_types(variance.dtype, torch.float32)
        weight, bias = (None if t is None else t.to(wide) for t in (self.weight, self.bias))
        if number == 1:
            new_mean = mean.to(wide).lerp(x.detach().flatten().to(wide), momentum)
            new_variance = variance.to(wide) * (1 - momentum)
            shape = [1, -1] + [1] * (x.dim() - 2)
            y = x - x  # not zeros: what is not finite stays so, and gradients of 0 are gradients
            y = y if weight is None else y * weight.view(shape)
            y = y if bias is None else y + bias.view(shape)
            y = y.to(x.dtype)
        else:
            excess = number / (number - 1)  # the kernel leaves it alone where there are none
            new_mean, new_variance = mean.to(wide, copy=True), variance.to(wide) * (excess or 1)
            cudnn, eps = torch.backends.cudnn.enabled, self.eps
            y = torch.batch_norm(
                x, weight, bias, new_mean, new_variance, True, momentum, eps, cudnn
            )
            new_variance = new_variance / (excess or 1)
        mean.copy_(new_mean)
        variance.copy_(new_variance)
        return y

    def to_torch(self) -> nn.Module:
        """The module of torch with the same settings, sharing all tensors."""
        plain = copy.copy(self)
        plain.__class__ = next(
            c for c in type(self).__mro__ if c.__module__ == nn.BatchNorm2d.__module__
        )
        plain._parameters, plain._buffers = dict(self._parameters), dict(self._buffers)
        return plain


class BiasedBatchNorm1d(BiasedNorm, nn.BatchNorm1d):
    """For `(N, C)` and `(N, C, L)`."""


class BiasedBatchNorm2d(BiasedNorm, nn.BatchNorm2d):
    """For `(N, C, H, W)`."""


class BiasedBatchNorm3d(BiasedNorm, nn.BatchNorm3d):
    """For `(N, C, D, H, W)`."""


class BiasedSyncBatchNorm(BiasedNorm, nn.SyncBatchNorm):
    """For any of them, with the statistics of all processes of a distributed run."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel; channels are the second axis."""
        is_stored = self.training and self.track_running_stats
        if not is_stored or self._num_processes() < 2:
            return super().forward(input)
        assert self.running_var is not None
        # Asked of all processes, since they may have different numbers of rows.
        number = torch.tensor(float(input.numel() // self.num_features), device=input.device)
        distributed.all_reduce(number, group=self.process_group)
        excess = number / (number - 1).clamp(min=1)
        self.running_var.data.mul_(excess)
        try:
            return nn.SyncBatchNorm.forward(self, input)
        finally:
            self.running_var.data.div_(excess)

    def _num_processes(self) -> int:
        if not (distributed.is_available() and distributed.is_initialized()):
            return 1
        return distributed.get_world_size(self.process_group)
