"""How targets and predictions are made comparable before a loss or metric compares them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish import config
from kerasish.devices import as_torch_takes, tensor_on


def as_tensor(value: Any, device: torch.device | None = None) -> Tensor:
    """Make a tensor of numbers, arrays or nested lists; a tensor is returned as it is."""
    if isinstance(value, Tensor):
        return value
    value = as_torch_takes(value)
    return torch.as_tensor(value) if device is None else tensor_on(device, value)


def as_prediction(value: Any) -> Tensor:
    """Make a floating-point tensor; whole numbers become the default float type."""
    value = as_tensor(value)
    return value if value.is_floating_point() else value.to(config.as_dtype(config.floatx()))


def same_rank(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Align two tensors whose ranks differ by one, if the last axis of the longer has size 1.

    Keras's rule: a rank-1 partner gains the axis, otherwise the longer one loses it.
    """
    if y_true.ndim == y_pred.ndim + 1 and y_true.shape[-1] == 1:
        return (y_true, y_pred.unsqueeze(-1)) if y_pred.ndim == 1 else (y_true.squeeze(-1), y_pred)
    if y_pred.ndim == y_true.ndim + 1 and y_pred.shape[-1] == 1:
        return (y_true.unsqueeze(-1), y_pred) if y_true.ndim == 1 else (y_true, y_pred.squeeze(-1))
    return y_true, y_pred


def with_unit_axis(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Targets with the outputs' axis of size 1, if that is all they lack.

    It is the last axis, as of (batch, time) beside (batch, time, 1), or that of the channels, as of
    masks (batch, height, width) beside (batch, 1, height, width).
    """
    for axis in (-1, 1) if 0 < y_true.ndim == y_pred.ndim - 1 else ():
        if y_pred.shape[axis] == 1 and y_true.shape[1:] == y_pred.squeeze(axis).shape[1:]:
            return y_true.unsqueeze(axis)
    return y_true


def aligned(y_true: Any, y_pred: Any, name: str) -> tuple[Tensor, Tensor]:
    """Give targets the type, device and shape of the predictions, or say why that cannot be.

    Raises:
        ValueError: If the shapes differ otherwise than by a last axis of size 1: such a pair would
            broadcast silently, comparing each row with every other.
    """
    y_pred = as_prediction(y_pred)
    return paired(as_tensor(y_true, y_pred.device).to(y_pred), y_pred, name)


def paired(y_true: Tensor, y_pred: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Align the ranks of two tensors, whose shapes must then be equal; types stay as they are.

    Raises:
        ValueError: If the shapes differ otherwise than by a last axis of size 1.
    """
    if y_true.shape != y_pred.shape:
        y_true, y_pred = same_rank(y_true, y_pred)
        if y_true.ndim == 0:
            return y_true.expand_as(y_pred), y_pred
        if y_true.shape != y_pred.shape:
            raise ValueError(mismatch(name, y_true, y_pred, "must have the same shape"))
    return y_true, y_pred


def mismatch(name: str, y_true: Tensor, y_pred: Tensor, rule: str) -> str:
    """The message for targets and predictions that do not fit together."""
    return (
        f"{name}: y_true and y_pred {rule}, got y_true: {tuple(y_true.shape)}, "
        f"y_pred: {tuple(y_pred.shape)}. Reshape the targets or change the model's last layer."
    )


def weights_like(weight: Any, values: Tensor, name: str, noun: str = "sample_weight") -> Tensor:
    """Give weights as many axes as the values they multiply, matched from the batch axis on.

    Args:
        weight: One number, one per row, or one per element of the leading axes of `values`.
        values: What will be multiplied.
        name: Who asks, for the error message.
        noun: What the weights are called, for the error message.

    Shapes:
        weight: `()`, `(batch,)`, `(batch, 1)` or the leading axes of `values`
        values: `(batch, ...)`
        output: broadcasts against `values`

    Raises:
        ValueError: If an axis of the weights has neither size 1 nor the size in `values`.
    """
    weight = as_tensor(weight, values.device).to(values)
    # A scalar value under per-row weights is a whole-batch loss: it counts once for each weight.
    if weight.shape == values.shape or values.ndim == 0:
        return weight
    while weight.ndim > values.ndim and weight.shape[-1] == 1:
        weight = weight.squeeze(-1)
    weight = weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim))
    pairs = zip(weight.shape, values.shape, strict=False)
    if weight.ndim > values.ndim or any(w not in (1, v) for w, v in pairs):
        raise ValueError(
            f"{name}: {noun} must have one value per row, or per element of the values of "
            f"shape {tuple(values.shape)}, got {noun} of shape {tuple(weight.shape)}."
        )
    return weight


def logits_behind(y_pred: Any, activation: str) -> Tensor | None:
    """The logits that `softmax` or `sigmoid` made these probabilities of, if remembered."""
    logits = getattr(y_pred, "_logits", None)
    if logits is None or getattr(y_pred, "_logits_of", activation) != activation:
        return None
    return logits
