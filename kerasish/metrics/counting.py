"""Counting true and false positives at many thresholds in one pass over the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.devices import tensor_on
from kerasish.losses.shapes import as_tensor, paired, weights_like

NOTHING = -1e10
"""A score below every threshold, for classes that are not among the top k."""


class Counts(NamedTuple):
    """Weighted counts at each threshold: shapes `(thresholds,)`, or `(thresholds, labels)`."""

    true_positives: Tensor
    false_positives: Tensor
    true_negatives: Tensor
    false_negatives: Tensor


def as_thresholds(thresholds: Any, default: float, name: str) -> list[float]:
    """Check one threshold or several; `None` means the default.

    Raises:
        ValueError: If one is outside [0, 1].
    """
    if thresholds is None:
        return [default]
    values = list(thresholds) if isinstance(thresholds, Iterable) else [thresholds]
    if not values or any(t is None or not 0 <= t <= 1 for t in values):
        raise ValueError(
            f"{name}: thresholds must be one or more numbers in [0, 1], got {describe(thresholds)}."
        )
    return [float(t) for t in values]


def evenly_spaced(thresholds: Sequence[float]) -> bool:
    """Whether the thresholds are 0, 1/n … 1, up to the small overhang that AUC gives its ends."""
    last = len(thresholds) - 1
    return last >= 2 and all(abs(t - i / last) < 1e-6 for i, t in enumerate(thresholds))


def count_at(
    y_true: Any,
    y_pred: Any,
    thresholds: Sequence[float],
    sample_weight: Any = None,
    *,
    name: str,
    dtype: torch.dtype,
    device: torch.device,
    per_label: bool = False,
    label_weights: Tensor | None = None,
    top_k: int | None = None,
    class_id: int | None = None,
) -> Counts:
    """Count the four outcomes of `y_pred > threshold` at each threshold.

    Shapes:
        y_true, y_pred: `(batch, ...)`; `(batch, labels)` when `per_label`
        sample_weight: `(batch,)` or more of the leading axes

    Raises:
        ValueError: If the shapes differ.
    """
    y_pred = as_tensor(y_pred, device).to(dtype)
    y_true, y_pred = paired(as_tensor(y_true, y_pred.device) != 0, y_pred, name)
    weight = None if sample_weight is None else weights_like(sample_weight, y_pred, name)
    if top_k is not None:
        y_pred = _top_k_only(y_pred, top_k)
    if class_id is not None:
        if y_pred.ndim < 2:
            raise ValueError(f"{name}: class_id needs y_pred of shape (batch, classes).")
        y_true, y_pred = y_true[..., class_id, None], y_pred[..., class_id, None]
        if weight is not None and weight.shape[-1] > 1:
            weight = weight[..., class_id, None]
    if label_weights is not None:
        weight = label_weights if weight is None else weight * label_weights
    if weight is not None:
        weight = weight.expand_as(y_pred)
    if len(thresholds) == 1 and not per_label:
        return _count_once(y_true, y_pred > thresholds[0], weight, dtype)
    labels = y_pred.shape[-1] if per_label else 1
    y_true, y_pred = y_true.reshape(-1, labels), y_pred.reshape(-1, labels)
    weight = None if weight is None else weight.reshape(-1, labels)
    counts = _count_many(y_true, y_pred, thresholds, weight, dtype)
    return counts if per_label else Counts(*(count.squeeze(-1) for count in counts))


def _count_once(y_true: Tensor, said: Tensor, weight: Tensor | None, dtype: torch.dtype) -> Counts:
    both = y_true & said
    parts = (both, said, y_true)
    if weight is None:
        tp, positives, trues = (part.sum(dtype=dtype) for part in parts)
        total: Any = y_true.numel()
    else:
        tp, positives, trues = ((part * weight).sum() for part in parts)
        total = weight.sum()
    fp, fn = positives - tp, trues - tp
    return Counts(*(count.reshape(1) for count in (tp, fp, total - trues - fp, fn)))


def _count_many(
    y_true: Tensor,
    y_pred: Tensor,
    thresholds: Sequence[float],
    weight: Tensor | None,
    dtype: torch.dtype,
) -> Counts:
    size, labels = len(thresholds), y_pred.shape[-1]
    order = sorted(range(size), key=thresholds.__getitem__)
    passed = _thresholds_passed(y_pred, [thresholds[i] for i in order])
    label = torch.arange(labels, device=y_pred.device)
    bucket = (y_true * labels + label) * (size + 1) + passed
    ones = torch.ones_like(y_pred) if weight is None else weight
    histogram = torch.zeros(2 * labels * (size + 1), dtype=dtype, device=y_pred.device)
    histogram.scatter_add_(0, bucket.reshape(-1), ones.reshape(-1).to(dtype))
    # Entry j of the reversed running sum: the weight of predictions that pass j thresholds or more.
    at_least = histogram.reshape(2, labels, size + 1).flip(-1).cumsum(-1).flip(-1)
    totals, at_least = at_least[..., :1], at_least[..., 1:]
    if order != list(range(size)):
        at_least = at_least[..., [order.index(i) for i in range(size)]]
    fp, tp = (count.T for count in at_least)  # (thresholds, labels)
    falses, trues = (count.T for count in totals)
    return Counts(tp, fp, falses - fp, trues - tp)


def _thresholds_passed(y_pred: Tensor, thresholds: Sequence[float]) -> Tensor:
    """How many of the sorted thresholds each prediction exceeds."""
    size = len(thresholds)
    if evenly_spaced(thresholds):
        passed = (y_pred.clamp(0.0, 1.0) * (size - 1)).ceil().long()
        # A first threshold below 0 is passed even by 0.
        return passed.clamp(1 if thresholds[0] < 0 else 0, size)
    edges = tensor_on(y_pred.device, thresholds, y_pred.dtype)
    return torch.bucketize(y_pred.contiguous(), edges)


def _top_k_only(y_pred: Tensor, k: int) -> Tensor:
    best = y_pred.topk(min(k, y_pred.shape[-1]), dim=-1)
    return torch.full_like(y_pred, NOTHING).scatter(-1, best.indices, best.values)
