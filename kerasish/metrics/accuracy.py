"""Accuracies: the share of predictions that are right."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kerasish import config
from kerasish.losses.categorical import squeezed_indices
from kerasish.losses.shapes import as_tensor, mismatch, paired
from kerasish.metrics.reduction import SampleMean


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Tensor:
    """1.0 where `y_pred > threshold` says what `y_true` says, else 0.0.

    Shapes:
        y_true, y_pred: `(batch, ...)`, targets 0 or 1
        output: the same
    """
    return _floats(_binary_hits(*_tensors(y_true, y_pred), threshold))


def categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1.0 where target and prediction are largest at the same class, else 0.0.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`
        output: `(batch, ...)`
    """
    return _floats(_categorical_hits(*_tensors(y_true, y_pred)))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1.0 where the prediction is largest at the target's index, else 0.0.

    Shapes:
        y_true: `(batch, ...)` or `(batch, ..., 1)`, class indices
        y_pred: `(batch, ..., classes)`
        output: `(batch, ...)`

    Example:
        >>> sparse_categorical_accuracy([1, 0], [[0.1, 0.9], [0.2, 0.8]])
        tensor([1., 0.])
    """
    return _floats(_sparse_hits(*_tensors(y_true, y_pred)))


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1.0 where the target's class is among the `k` largest predictions, else 0.0.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`
        output: `(batch, ...)`
    """
    y_true, y_pred = _same_shape(*_tensors(y_true, y_pred), "top_k_categorical_accuracy")
    return _floats(_top_k_hits(y_true.argmax(-1), y_pred, k))


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Tensor:
    """1.0 where the class index is among the `k` largest predictions, else 0.0.

    Shapes:
        y_true: `(batch, ...)` or `(batch, ..., 1)`, class indices
        y_pred: `(batch, ..., classes)`, or class indices, best first, when `from_sorted_ids`
        output: `(batch, ...)`
    """
    return _floats(_sparse_top_k_hits(*_tensors(y_true, y_pred), k, from_sorted_ids))


def _tensors(y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    y_pred = as_tensor(y_pred)
    return as_tensor(y_true, y_pred.device), y_pred


def _floats(hits: Tensor) -> Tensor:
    return hits.to(config.as_dtype(config.floatx()))


def _binary_hits(y_true: Tensor, y_pred: Tensor, threshold: float) -> Tensor:
    y_true, y_pred = paired(y_true, y_pred, "binary_accuracy")
    return (y_pred > threshold) == y_true


def _categorical_hits(y_true: Tensor, y_pred: Tensor) -> Tensor:
    y_true, y_pred = _same_shape(y_true, y_pred, "categorical_accuracy")
    return y_true.argmax(-1) == y_pred.argmax(-1)


def _sparse_hits(y_true: Tensor, y_pred: Tensor) -> Tensor:
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    if y_true.shape != y_pred.shape[:-1]:
        name, rule = "sparse_categorical_accuracy", "must differ only by the class axis"
        raise ValueError(mismatch(name, y_true, y_pred, rule))
    return y_pred.argmax(-1) == y_true


def _top_k_hits(indices: Tensor, y_pred: Tensor, k: int) -> Tensor:
    # Counting what beats the target costs one pass; sorting out the k best costs several.
    target_score = y_pred.gather(-1, indices.unsqueeze(-1))
    return (y_pred > target_score).sum(-1) < k


def _sparse_top_k_hits(y_true: Tensor, y_pred: Tensor, k: int, from_sorted_ids: bool) -> Tensor:
    indices = squeezed_indices(y_true, y_pred, -1, "sparse_top_k_categorical_accuracy")
    if from_sorted_ids:
        return (y_pred[..., :k] == indices.unsqueeze(-1)).any(-1)
    return _top_k_hits(indices, y_pred, k)


def _same_shape(y_true: Tensor, y_pred: Tensor, name: str) -> tuple[Tensor, Tensor]:
    if y_true.shape != y_pred.shape:
        raise ValueError(mismatch(name, y_true, y_pred, "must have the same shape"))
    return y_true, y_pred


class Accuracy(SampleMean):
    """Share of elements with `y_true == y_pred`.

    Shapes:
        y_true, y_pred: `(batch, ...)`; one of them may lack a last axis of size 1
        result: `()`

    Args:
        name: The key in logs.
        dtype: The type of the state.
    """

    direction = "up"

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where they are equal."""
        y_true, y_pred = paired(y_true, y_pred, self.name)
        return y_true == y_pred


class BinaryAccuracy(SampleMean):
    """Share of elements where `y_pred > threshold` says what `y_true` says.

    Shapes:
        y_true, y_pred: `(batch, ...)`, targets 0 or 1
        result: `()`

    Args:
        name: The key in logs.
        dtype: The type of the state.
        threshold: What a prediction must exceed to mean 1: 0.5 for probabilities, 0 for logits.
    """

    direction = "up"
    options = ("threshold",)

    def __init__(
        self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        super().__init__(name, dtype)
        self.threshold = threshold

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where the prediction is right."""
        return _binary_hits(y_true, y_pred, self.threshold)


class CategoricalAccuracy(SampleMean):
    """Share of samples whose largest prediction is at the target's class (one-hot targets).

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`
        result: `()`

    Args:
        name: The key in logs.
        dtype: The type of the state.
    """

    direction = "up"

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where the prediction is right."""
        return _categorical_hits(y_true, y_pred)


class SparseCategoricalAccuracy(SampleMean):
    """Share of samples whose largest prediction is at the target's index.

    Shapes:
        y_true: `(batch, ...)` or `(batch, ..., 1)`, class indices
        y_pred: `(batch, ..., classes)`, probabilities or logits
        result: `()`

    Args:
        name: The key in logs.
        dtype: The type of the state.
    """

    direction = "up"

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where the prediction is right."""
        return _sparse_hits(y_true, y_pred)


class TopKCategoricalAccuracy(SampleMean):
    """Share of samples whose class is among the `k` largest predictions (one-hot targets).

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`
        result: `()`

    Args:
        k: How many guesses a sample has.
        name: The key in logs.
        dtype: The type of the state.
    """

    direction = "up"
    options = ("k",)

    def __init__(
        self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(name, dtype)
        self.k = k

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where a guess is right."""
        y_true, y_pred = _same_shape(y_true, y_pred, self.name)
        return _top_k_hits(y_true.argmax(-1), y_pred, self.k)


class SparseTopKCategoricalAccuracy(SampleMean):
    """Share of samples whose class index is among the `k` largest predictions.

    Shapes:
        y_true: `(batch, ...)` or `(batch, ..., 1)`, class indices
        y_pred: `(batch, ..., classes)`
        result: `()`

    Args:
        k: How many guesses a sample has.
        name: The key in logs.
        dtype: The type of the state.
        from_sorted_ids: Whether `y_pred` holds class indices, best first, instead of scores.
    """

    direction = "up"
    options = ("k", "from_sorted_ids")

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(name, dtype)
        self.k = k
        self.from_sorted_ids = from_sorted_ids

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where a guess is right."""
        return _sparse_top_k_hits(y_true, y_pred, self.k, self.from_sorted_ids)
