"""What a loss asks of outputs and targets: classes or numbers, logits or probabilities."""

from __future__ import annotations

import functools
from typing import Any, Literal

from torch import nn

from kerasish import losses
from kerasish.losses.base import snake_case

Kind = Literal["sparse", "categorical", "binary", "log_probabilities", "regression", "other"]

_KINDS: dict[type, Kind] = {
    losses.SparseCategoricalCrossentropy: "sparse",
    losses.CategoricalGeneralizedCrossEntropy: "sparse",
    losses.CategoricalCrossentropy: "categorical",
    losses.CategoricalFocalCrossentropy: "categorical",
    losses.BinaryCrossentropy: "binary",
    losses.BinaryFocalCrossentropy: "binary",
    losses.MeanSquaredError: "regression",
    losses.MeanAbsoluteError: "regression",
    losses.Huber: "regression",
    losses.LogCosh: "regression",
}
# torch's modules and functions, by their names in snake case without "_loss".
_TORCH_KINDS: dict[str, Kind] = {
    "cross_entropy": "sparse",
    "nll": "log_probabilities",
    "kl_div": "log_probabilities",
    "bce": "binary",
    "bce_with_logits": "binary",
    "binary_cross_entropy": "binary",
    "binary_cross_entropy_with_logits": "binary",
    "mse": "regression",
    "l1": "regression",
    "smooth_l1": "regression",
    "huber": "regression",
}
CLASS_KINDS = ("sparse", "categorical", "binary", "log_probabilities")


def kind_of_loss(loss: Any) -> Kind:
    """What a loss compares; `"other"` where its code could do anything.

    Example:
        >>> kind_of_loss(losses.get("mse")), kind_of_loss(losses.get(nn.CrossEntropyLoss()))
        ('regression', 'sparse')
    """
    if isinstance(loss, losses.TorchLoss):
        return _TORCH_KINDS.get(torch_name(loss), "other")
    found: list[Kind] = [_KINDS[cls] for cls in type(loss).__mro__ if cls in _KINDS]
    return found[0] if found else "other"


def torch_name(loss: losses.TorchLoss) -> str:
    """The name of the torch loss inside, in snake case without `_loss`."""
    inner: Any = loss.loss.func if isinstance(loss.loss, functools.partial) else loss.loss
    name = type(inner).__name__ if isinstance(inner, nn.Module) else inner.__name__
    return snake_case(name).removesuffix("_loss")


def takes_logits(loss: Any) -> bool:
    """Whether a loss applies softmax or sigmoid itself."""
    return getattr(loss, "from_logits", False) is True


def takes_probabilities(loss: Any) -> bool:
    """Whether a loss expects the outputs of a softmax or a sigmoid."""
    if isinstance(loss, losses.KLDivergence):
        return True
    return kind_of_loss(loss) in ("sparse", "categorical", "binary") and not takes_logits(loss)


def class_axis(loss: Any) -> int:
    """The axis of the outputs that counts classes: torch's losses have it second."""
    if isinstance(loss, losses.TorchLoss):
        return 1
    axis = getattr(loss, "axis", -1)
    return axis if isinstance(axis, int) else -1
