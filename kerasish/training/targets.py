"""Targets and weights, made ready once where data enters: types, ranks, class weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kerasish.data.arrays import leaves
from kerasish.describe import describe
from kerasish.losses.shapes import same_rank
from kerasish.training.objective import Objective, OutputObjective


def target_preparer(
    objective: Objective, y_pred: Any, class_weight: Any = None
) -> Callable[[Any, Any, Any], tuple[Any, Any, Any]]:
    """The function that a feed applies to `(x, y, sample_weight)`; it works row by row.

    Args:
        objective: The resolved losses.
        y_pred: The outputs for one batch, for their shapes and types.
        class_weight: Weight by class index, or by output name such dicts.

    Raises:
        ValueError: If class weights do not go with the targets.
    """
    predictions = list(leaves(y_pred))
    tables = _class_tables(objective, class_weight)

    def prepare(x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
        targets = objective.arrange(y, "y")
        weights = _arrange_weights(objective, weight)
        for i, (output, p, table) in enumerate(
            zip(objective.outputs, predictions, tables, strict=True)
        ):
            if targets[i] is None:
                continue
            targets[i] = fit_target(output, targets[i], p)
            if table is not None:
                weights[i] = _times(_class_weights(targets[i], table, output.name), weights[i])
        if len(targets) == 1:
            return x, targets[0], weights[0]
        shared = all(w is weights[0] for w in weights)
        return x, None if y is None else targets, weights[0] if shared else weights

    return prepare


def fit_target(output: OutputObjective, y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Give targets the type and rank that the loss compares.

    Raises:
        ValueError: If class indices are out of range or not whole numbers, targets are NaN, or
            shapes would broadcast.
    """
    dtype = output.target_dtype(y_true, y_pred)
    if dtype == torch.int64:
        y_true = _class_indices(output, y_true, y_pred)
    else:
        y_true, _ = same_rank(y_true, y_pred) if y_true.dim() else (y_true, y_pred)
        _check_shape(output, y_true, y_pred)
        if y_true.is_floating_point() and bool(torch.isnan(y_true).any()):
            raise ValueError(
                f"The targets of output '{output.name}' contain NaN. Remove those rows, or give "
                "them sample_weight 0 and a number."
            )
    return y_true if dtype is None or y_true.dtype == dtype else y_true.to(dtype)


def _check_shape(output: OutputObjective, y_true: Tensor, y_pred: Tensor) -> None:
    if output.loss is None or type(output.loss).__module__.split(".")[0] != "kerasish":
        return
    if type(output.loss).__name__ in ("TorchLoss", "LossFunctionWrapper", "CTC"):
        return
    if tuple(y_true.shape[1:]) != tuple(y_pred.shape[1:]):
        hint = "Reshape the targets or change the model's last layer."
        if y_true.dim() == y_pred.dim() - 1 and "Categorical" in type(output.loss).__name__:
            hint = 'For class indices use loss="sparse_categorical_crossentropy".'
        raise ValueError(
            f"The loss '{output.loss.name}' of output '{output.name}' compares targets and "
            f"outputs of the same shape, but one target has shape {tuple(y_true.shape[1:])} and "
            f"one output {tuple(y_pred.shape[1:])}. {hint}"
        )


def _class_indices(output: OutputObjective, y_true: Tensor, y_pred: Tensor) -> Tensor:
    assert output.loss is not None
    axis = getattr(output.loss, "axis", -1)
    classes = y_pred.shape[axis] if isinstance(axis, int) else y_pred.shape[-1]
    if y_true.dim() == y_pred.dim() and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    elif y_true.dim() == y_pred.dim() and y_true.shape == y_pred.shape and classes > 1:
        raise ValueError(
            f"The loss '{output.loss.name}' of output '{output.name}' takes class indices, but the "
            f"targets have the outputs' shape {tuple(y_true.shape[1:])}: they look one-hot. "
            'Use loss="categorical_crossentropy".'
        )
    if y_true.is_floating_point():
        whole = y_true.to(torch.int64)
        if not torch.equal(whole.to(y_true.dtype), y_true):
            raise ValueError(
                f"The targets of output '{output.name}' must be whole class numbers, but some have "
                "fractions or are NaN."
            )
        y_true = whole
    ignored = getattr(output.loss, "ignore_class", None)
    low, high = (int(v) for v in y_true.aminmax())
    inside = 0 <= low and high < classes
    if not inside and ignored is not None:
        kept = y_true[y_true != ignored]
        inside = bool(((kept >= 0) & (kept < classes)).all())
    if not inside:
        raise ValueError(
            f"The targets of output '{output.name}' lie in [{low}, {high}], but the model has "
            f"{classes} outputs, for classes 0 to {classes - 1}. Number the classes from 0, or "
            f"give the last layer {high + 1} units."
        )
    return y_true


def _arrange_weights(objective: Objective, weight: Any) -> list[Any]:
    if weight is None or isinstance(weight, Tensor):
        return [weight] * len(objective.outputs)
    return objective.arrange(weight, "sample_weight")


def _class_tables(objective: Objective, class_weight: Any) -> list[dict | None]:
    if class_weight is None:
        return [None] * len(objective.outputs)
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"`class_weight` must be a dict of class index to weight, got {describe(class_weight)}."
        )
    if class_weight and all(isinstance(value, Mapping) for value in class_weight.values()):
        return objective.arrange(class_weight, "class_weight")
    if len(objective.outputs) > 1:
        raise ValueError(
            "With several outputs, give `class_weight` by output name: "
            f"{{'{objective.names[0]}': {{0: 1.0, ...}}}}."
        )
    return [dict(class_weight)]


def _class_weights(y_true: Tensor, table: dict, name: str) -> Tensor:
    classes = y_true
    if y_true.dim() > 1 and y_true.shape[-1] > 1 and y_true.is_floating_point():
        classes = y_true.argmax(-1)
    elif y_true.dim() > 1 and y_true.shape[-1] == 1:
        classes = y_true.squeeze(-1)
    classes = classes.round().long()
    keys = [int(key) for key in table]
    size = max(int(classes.max()), *keys, 0) + 1 if keys else int(classes.max()) + 1
    weights = torch.ones(size, device=y_true.device)
    for key, value in table.items():
        if not int(key) >= 0:
            raise ValueError(f"`class_weight` of output '{name}': class {key} is negative.")
        weights[int(key)] = float(value)
    return weights[classes]


def _times(a: Tensor, b: Tensor | None) -> Tensor:
    if b is None:
        return a
    if b.dim() == a.dim() + 1 and b.shape[-1] == 1:
        b = b.squeeze(-1)
    while b.dim() < a.dim():
        b = b.unsqueeze(-1)
    return a * b
