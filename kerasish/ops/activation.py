"""Activation functions for tensors, arrays and lists; `kerasish.activations` explains each."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kerasish import activations
from kerasish.ops.tensors import TensorLike, as_dims, as_float, convert_to_tensor, recorded


def celu(x: TensorLike, alpha: float = 1.0) -> torch.Tensor:
    """`max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`."""
    return activations.celu(as_float(x), alpha)


def elu(x: TensorLike, alpha: float = 1.0) -> torch.Tensor:
    """`x` where positive, else `alpha * (exp(x) - 1)`."""
    return activations.elu(as_float(x), alpha)


def gelu(x: TensorLike, approximate: bool = True) -> torch.Tensor:
    """`x` times the normal distribution function of `x`; `approximate` takes the tanh formula."""
    return activations.gelu(as_float(x), approximate)


def glu(x: TensorLike, axis: int = -1) -> torch.Tensor:
    """`a * sigmoid(b)`, where `a` and `b` are the halves of `x` along `axis`."""
    return activations.glu(as_float(x), axis)


def hard_shrink(x: TensorLike, threshold: float = 0.5) -> torch.Tensor:
    """`x` where `|x| > threshold`, else 0."""
    return activations.hard_shrink(as_float(x), threshold)


def hard_sigmoid(x: TensorLike) -> torch.Tensor:
    """`min(max(x / 6 + 1/2, 0), 1)`."""
    return activations.hard_sigmoid(as_float(x))


def hard_silu(x: TensorLike) -> torch.Tensor:
    """`x * hard_sigmoid(x)`, also named hard_swish."""
    return activations.hard_silu(as_float(x))


def hard_tanh(x: TensorLike) -> torch.Tensor:
    """`min(max(x, -1), 1)`."""
    return activations.hard_tanh(convert_to_tensor(x))


def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> torch.Tensor:
    """`x` where positive, else `negative_slope * x`."""
    return activations.leaky_relu(as_float(x), negative_slope)


def log_sigmoid(x: TensorLike) -> torch.Tensor:
    """`log(sigmoid(x))`, computed stably."""
    return activations.log_sigmoid(as_float(x))


def relu(x: TensorLike) -> torch.Tensor:
    """`max(x, 0)`."""
    return activations.relu(convert_to_tensor(x))


def relu6(x: TensorLike) -> torch.Tensor:
    """`min(max(x, 0), 6)`."""
    return activations.relu6(convert_to_tensor(x))


def selu(x: TensorLike) -> torch.Tensor:
    """`scale * elu(x, alpha)` with the constants that keep mean 0 and variance 1."""
    return activations.selu(as_float(x))


def sigmoid(x: TensorLike) -> torch.Tensor:
    """`1 / (1 + exp(-x))`."""
    return activations.sigmoid(as_float(x))


def silu(x: TensorLike) -> torch.Tensor:
    """`x * sigmoid(x)`, also named swish."""
    return activations.silu(as_float(x))


def soft_shrink(x: TensorLike, threshold: float = 0.5) -> torch.Tensor:
    """`x` moved towards 0 by `threshold`, and 0 where it would pass it."""
    return activations.soft_shrink(as_float(x), threshold)


def softplus(x: TensorLike) -> torch.Tensor:
    """`log(1 + exp(x))`."""
    return activations.softplus(as_float(x))


def softsign(x: TensorLike) -> torch.Tensor:
    """`x / (1 + |x|)`."""
    return activations.softsign(as_float(x))


def sparse_plus(x: TensorLike) -> torch.Tensor:
    """0 up to -1, `(x + 1)² / 4` up to 1, `x` beyond."""
    return activations.sparse_plus(as_float(x))


def sparse_sigmoid(x: TensorLike) -> torch.Tensor:
    """`min(max((x + 1) / 2, 0), 1)`."""
    return activations.sparse_sigmoid(as_float(x))


def sparsemax(x: TensorLike, axis: int = -1) -> torch.Tensor:
    """The point of the probability simplex nearest to `x`: many entries are exactly 0."""
    return activations.sparsemax(as_float(x), axis)


def squareplus(x: TensorLike, b: float = 4) -> torch.Tensor:
    """`(x + sqrt(x² + b)) / 2`."""
    return activations.squareplus(as_float(x), b)


def tanh_shrink(x: TensorLike) -> torch.Tensor:
    """`x - tanh(x)`."""
    return activations.tanh_shrink(as_float(x))


def threshold(x: TensorLike, threshold: float, default_value: float) -> torch.Tensor:
    """`x` where above `threshold`, else `default_value`."""
    return activations.threshold(convert_to_tensor(x), threshold, default_value)


def softmax(x: TensorLike, axis: int | Sequence[int] | None = -1) -> torch.Tensor:
    """`exp(x) / sum(exp(x))` along an axis, several, or all (`None`)."""
    if isinstance(axis, int):
        return activations.softmax(as_float(x), axis)
    return torch.exp(_log_softmax_over(x, axis))


def log_softmax(x: TensorLike, axis: int | Sequence[int] | None = -1) -> torch.Tensor:
    """`x - log(sum(exp(x)))` along an axis, several, or all (`None`)."""
    if isinstance(axis, int):
        return activations.log_softmax(as_float(x), axis)
    return _log_softmax_over(x, axis)


@recorded
def _log_softmax_over(x: TensorLike, axis: Sequence[int] | None) -> torch.Tensor:
    x = as_float(x)
    return x - torch.logsumexp(x, dim=as_dims(axis, x.ndim), keepdim=True)


hard_swish = hard_silu
swish = silu
