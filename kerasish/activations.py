"""Activation functions: Keras's names for torch's functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch.overrides import handle_torch_function, has_torch_function_unary

from kerasish import registry

Activation = Callable[..., torch.Tensor]


def linear(x: torch.Tensor) -> torch.Tensor:
    """The input itself."""
    return x


def relu(
    x: torch.Tensor,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> torch.Tensor:
    """Rectifier: `max(x, 0)`, with Keras's three options.

    Args:
        x: Any tensor.
        negative_slope: The slope below `threshold`.
        max_value: The largest value returned; `None` sets no limit.
        threshold: Values up to it are cut off (or continue with `negative_slope` from there).

    Example:
        >>> relu(torch.tensor([-2.0, 1.0, 9.0]), negative_slope=0.5, max_value=6.0)
        tensor([-1.,  1.,  6.])
    """
    if threshold == 0.0:
        if max_value is None:
            return torch.relu(x) if negative_slope == 0.0 else F.leaky_relu(x, negative_slope)
        positive = torch.clamp(x, 0.0, max_value)
    else:
        positive = F.threshold(x, threshold, 0.0)
        if max_value is not None:
            positive = torch.clamp(positive, max=max_value)
    if negative_slope == 0.0:
        return positive
    return positive + negative_slope * torch.clamp(x - threshold, max=0.0)


def relu6(x: torch.Tensor) -> torch.Tensor:
    """`min(max(x, 0), 6)`."""
    return F.relu6(x)


def leaky_relu(x: torch.Tensor, negative_slope: float = 0.2) -> torch.Tensor:
    """`x` where positive, else `negative_slope * x`."""
    return F.leaky_relu(x, negative_slope)


def elu(x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """`x` where positive, else `alpha * (exp(x) - 1)`."""
    return F.elu(x, alpha)


def celu(x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """`max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`."""
    return F.celu(x, alpha)


def selu(x: torch.Tensor) -> torch.Tensor:
    """`scale * elu(x, alpha)` with the constants that keep mean 0 and variance 1."""
    return F.selu(x)


def gelu(x: torch.Tensor, approximate: bool = False) -> torch.Tensor:
    """`x` times the normal distribution function of `x`; `approximate` takes the tanh formula."""
    return F.gelu(x, approximate="tanh" if approximate else "none")


def silu(x: torch.Tensor) -> torch.Tensor:
    """`x * sigmoid(x)`, also named swish."""
    return F.silu(x)


def mish(x: torch.Tensor) -> torch.Tensor:
    """`x * tanh(softplus(x))`."""
    return F.mish(x)


def glu(x: torch.Tensor, axis: int = -1) -> torch.Tensor:
    """`a * sigmoid(b)`, where `a` and `b` are the halves of `x` along `axis`."""
    return F.glu(x, dim=axis)


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """`1 / (1 + exp(-x))`; the result remembers `x`, so that a loss can work from the logits."""
    if has_torch_function_unary(x):  # a graph records this function, not the torch call inside it
        return handle_torch_function(sigmoid, (x,), x)
    return _with_logits(torch.sigmoid(x), x, "sigmoid")


def softmax(x: torch.Tensor, axis: int = -1) -> torch.Tensor:
    """`exp(x) / sum(exp(x))` along `axis`; the result remembers `x` for the loss, as in sigmoid."""
    if has_torch_function_unary(x):
        return handle_torch_function(softmax, (x,), x, axis=axis)
    return _with_logits(torch.softmax(x, dim=axis), x, "softmax")


def _with_logits(y: torch.Tensor, x: torch.Tensor, activation: str) -> torch.Tensor:
    # log(softmax(x)) loses digits: cross-entropies look for these attributes and start from x.
    if not torch.compiler.is_compiling():
        y._logits = x  # pyright: ignore[reportAttributeAccessIssue]
        y._logits_of = activation  # pyright: ignore[reportAttributeAccessIssue]
    return y


def log_softmax(x: torch.Tensor, axis: int = -1) -> torch.Tensor:
    """`x - log(sum(exp(x)))` along `axis`."""
    return torch.log_softmax(x, dim=axis)


def log_sigmoid(x: torch.Tensor) -> torch.Tensor:
    """`log(sigmoid(x))`, computed stably."""
    return F.logsigmoid(x)


def hard_sigmoid(x: torch.Tensor) -> torch.Tensor:
    """`min(max(x / 6 + 1/2, 0), 1)`."""
    return F.hardsigmoid(x)


def hard_silu(x: torch.Tensor) -> torch.Tensor:
    """`x * hard_sigmoid(x)`, also named hard_swish."""
    return F.hardswish(x)


def hard_tanh(x: torch.Tensor) -> torch.Tensor:
    """`min(max(x, -1), 1)`."""
    return F.hardtanh(x)


def hard_shrink(x: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
    """`x` where `|x| > threshold`, else 0."""
    return F.hardshrink(x, threshold)


def soft_shrink(x: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
    """`x` moved towards 0 by `threshold`, and 0 where it would pass it."""
    return F.softshrink(x, threshold)


def tanh(x: torch.Tensor) -> torch.Tensor:
    """Hyperbolic tangent."""
    return torch.tanh(x)


def tanh_shrink(x: torch.Tensor) -> torch.Tensor:
    """`x - tanh(x)`."""
    return x - torch.tanh(x)


def exponential(x: torch.Tensor) -> torch.Tensor:
    """`exp(x)`."""
    return torch.exp(x)


def softplus(x: torch.Tensor) -> torch.Tensor:
    """`log(1 + exp(x))`."""
    return F.softplus(x)


def softsign(x: torch.Tensor) -> torch.Tensor:
    """`x / (1 + |x|)`."""
    return F.softsign(x)


def squareplus(x: torch.Tensor, b: float = 4) -> torch.Tensor:
    """`(x + sqrt(x² + b)) / 2`."""
    return (x + torch.sqrt(x * x + b)) / 2


def threshold(x: torch.Tensor, threshold: float, default_value: float) -> torch.Tensor:
    """`x` where above `threshold`, else `default_value`."""
    return F.threshold(x, threshold, default_value)


def sparse_plus(x: torch.Tensor) -> torch.Tensor:
    """0 up to -1, `(x + 1)² / 4` up to 1, `x` beyond."""
    return torch.where(x >= 1, x, torch.clamp(x + 1, min=0) ** 2 / 4)


def sparse_sigmoid(x: torch.Tensor) -> torch.Tensor:
    """`min(max((x + 1) / 2, 0), 1)`."""
    return torch.clamp((x + 1) / 2, 0, 1)


def sparsemax(x: torch.Tensor, axis: int = -1) -> torch.Tensor:
    """The point of the probability simplex nearest to `x` along `axis`: many entries are exactly 0.

    Reference: Martins and Astudillo (2016), "From Softmax to Sparsemax".
    """
    ordered = torch.sort(x, dim=axis, descending=True)[0]
    rank = torch.cumsum(torch.ones_like(ordered), dim=axis)
    excess = torch.cumsum(ordered, dim=axis) - 1
    support = (rank * ordered > excess).to(x.dtype)
    size = torch.sum(support, dim=axis, keepdim=True)
    # The support is a prefix of the order, so its excess is the largest along it: sum - 1.
    offset = (torch.sum(ordered * support, dim=axis, keepdim=True) - 1) / size
    return torch.relu(x - offset)


# The strings stand for the torch function itself wherever Keras's defaults are torch's, so that a
# layer calls it with nothing in between.
_NAMES: dict[str, Activation] = {
    "celu": F.celu,
    "elu": F.elu,
    "exponential": torch.exp,
    "gelu": F.gelu,
    "glu": F.glu,
    "hard_shrink": F.hardshrink,
    "hard_sigmoid": F.hardsigmoid,
    "hard_silu": F.hardswish,
    "hard_swish": F.hardswish,
    "hard_tanh": F.hardtanh,
    "leaky_relu": leaky_relu,
    "linear": linear,
    "log_sigmoid": F.logsigmoid,
    "log_softmax": log_softmax,
    "mish": F.mish,
    "relu": torch.relu,
    "relu6": F.relu6,
    "selu": torch.selu,
    "sigmoid": sigmoid,
    "silu": F.silu,
    "soft_shrink": F.softshrink,
    "softmax": softmax,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid,
    "sparsemax": sparsemax,
    "squareplus": squareplus,
    "swish": F.silu,
    "tanh": torch.tanh,
    "tanh_shrink": F.tanhshrink,
    "threshold": threshold,
}
_CANONICAL = {
    **{function: name for name, function in reversed(_NAMES.items())},
    **{globals()[name]: name for name in _NAMES if name in globals()},
    F.silu: "silu",
    F.hardswish: "hard_silu",
    F.relu: "relu",
    F.tanh: "tanh",
}
hard_swish = hard_silu
swish = silu


def get(identifier: Any) -> Activation:
    """The activation that a name, config, function or module means; `None` is `linear`.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is nothing that can be called.

    Example:
        >>> get("relu") is torch.relu
        True
    """
    if identifier is None:
        return linear
    if isinstance(identifier, dict):
        return get(deserialize(identifier))
    return registry.resolve(identifier, _NAMES, "activation")


def serialize(activation: Activation) -> Any:
    """The name of an activation, or the config of one that has no name here."""
    name = _CANONICAL.get(activation) if activation.__hash__ is not None else None
    return name if name is not None else registry.serialize(activation)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the activation that `serialize` described."""
    if isinstance(config, str):
        return (custom_objects or {}).get(config) or get(config)
    return registry.deserialize(config, custom_objects)
