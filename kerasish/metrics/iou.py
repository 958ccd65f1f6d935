"""Intersection over union of predicted and true classes, from a confusion matrix."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kerasish import config
from kerasish.devices import tensor_on
from kerasish.losses.shapes import as_tensor, mismatch
from kerasish.metrics.base import Metric


class IoU(Metric):
    """`intersection / union` for each of some classes, averaged over those that occur.

    Shapes:
        y_true, y_pred: `(batch, ...)`, class indices; with a class axis where not sparse
        sample_weight: the shape of the indices
        result: `()`

    Args:
        num_classes: Number of classes.
        target_class_ids: The classes to average over.
        name: The key in logs.
        dtype: The type of the counts. Defaults to int64, whose counts stay exact; fractional
            weights need a float type.
        ignore_class: Elements with this target do not count.
        sparse_y_true: Whether targets are class indices, not one-hot.
        sparse_y_pred: Whether predictions are class indices, not scores.
        axis: The class axis where not sparse.

    Raises:
        ValueError: If a target class is out of range, or the shapes differ.
    """

    direction = "up"
    options = (
        "num_classes",
        "target_class_ids",
        "ignore_class",
        "sparse_y_true",
        "sparse_y_pred",
        "axis",
    )

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(None, name)
        if max(target_class_ids) >= num_classes:
            raise ValueError(
                f"{type(self).__name__}: target_class_ids must be below num_classes={num_classes}, "
                f"got {max(target_class_ids)}."
            )
        self._dtype = config.as_dtype("int64" if dtype in (None, "int") else dtype)
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes), dtype=self._dtype, name="total_confusion_matrix"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; arguments as for every metric."""
        y_pred = as_tensor(y_pred, self._device)
        y_true = as_tensor(y_true, y_pred.device)
        y_true = y_true if self.sparse_y_true else y_true.argmax(self.axis)
        y_pred = y_pred if self.sparse_y_pred else y_pred.argmax(self.axis)
        if y_true.numel() != y_pred.numel():
            rule = "must have the same number of class indices"
            raise ValueError(mismatch(self.name, y_true, y_pred, rule))
        y_true, y_pred = y_true.reshape(-1).long(), y_pred.reshape(-1).long()
        classes = self.num_classes
        counts = (y_true >= 0) & (y_true < classes) & (y_pred >= 0) & (y_pred < classes)
        if self.ignore_class is not None:
            counts &= y_true != self.ignore_class
        weight = counts.to(self._dtype)
        if sample_weight is not None:
            weight = weight * self._weights(sample_weight, y_true)
        cell = torch.where(counts, y_true * classes + y_pred, 0)
        self.total_cm.view(-1).scatter_add_(0, cell, weight)

    def _weights(self, sample_weight: Any, indices: Tensor) -> Tensor:
        weight = as_tensor(sample_weight, indices.device)
        if weight.is_floating_point() and not self._dtype.is_floating_point:
            warnings.warn(
                f"{self.name}: sample weights are floats but the counts are integers, so fractions "
                'are cut off. Pass dtype="float32" to keep them.',
                stacklevel=4,
            )
        weight = weight.to(self._dtype).reshape(-1)
        if weight.numel() not in (1, indices.numel()):
            # One weight per sample: each of its elements counts as much.
            weight = weight.repeat_interleave(indices.numel() // weight.numel())
        return weight

    def result(self) -> Tensor:
        """The mean over the target classes that occur: shape `()`; 0 before any batch."""
        matrix = self.total_cm.value
        overlap = matrix.diagonal()
        union = matrix.sum(0) + matrix.sum(1) - overlap
        chosen = tensor_on(matrix.device, self.target_class_ids)
        overlap, union = overlap[chosen].float(), union[chosen].float()
        occurs = union > 0
        scores = torch.where(occurs, overlap / union.where(occurs, 1.0), 0.0)
        return scores.sum() / occurs.sum().clamp(min=1)


class BinaryIoU(IoU):
    """IoU of the classes 0 and 1, where a prediction of at least `threshold` means 1.

    Args:
        target_class_ids: The classes to average over: 0, 1 or both.
        threshold: What a prediction must reach to mean 1.
        name: The key in logs.
        dtype: The type of the counts, as in `IoU`.
    """

    options = ("target_class_ids", "threshold")

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; arguments as for every metric."""
        said = as_tensor(y_pred, self._device) >= self.threshold
        super().update_state(y_true, said, sample_weight)


class MeanIoU(IoU):
    """IoU averaged over all classes that occur; arguments as in `IoU`."""

    options = ("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )


class OneHotIoU(IoU):
    """IoU for one-hot targets; arguments as in `IoU`."""

    options = ("num_classes", "target_class_ids", "ignore_class", "sparse_y_pred", "axis")

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )


class OneHotMeanIoU(MeanIoU):
    """Mean IoU for one-hot targets; arguments as in `IoU`."""

    options = ("num_classes", "ignore_class", "sparse_y_pred", "axis")

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
