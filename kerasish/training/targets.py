"""Targets and weights, made ready once where data enters: types, ranks, class weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from kerasish import losses
from kerasish.data.arrays import leaves
from kerasish.describe import describe
from kerasish.losses.shapes import with_unit_axis
from kerasish.training.loss_kinds import class_axis, kind_of_loss
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
    predictions = [p.detach() for p in leaves(y_pred)]
    tables = class_tables(objective, class_weight)

    def prepare(x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
        if objective.takes_as_is(y) and class_weight is None:
            return x, y, weight
        targets = objective.arrange(y, "y")
        weights = _arrange_weights(objective, weight)
        for i, (output, p, table) in enumerate(
            zip(objective.outputs, predictions, tables, strict=True)
        ):
            if targets[i] is None:
                if output.loss is not None:
                    raise ValueError(missing_target(objective, output, y))
                continue
            if output.loss is not None or output.metrics or output.weighted_metrics:
                targets[i] = fit_target(output, targets[i], p)
            if table is not None:
                weights[i] = _times(_class_weights(targets[i], table, output.name), weights[i])
        if len(targets) == 1:
            return x, targets[0], weights[0]
        shared = all(w is weights[0] for w in weights)
        return x, _like(y, objective.names, targets), weights[0] if shared else weights

    return prepare


def missing_target(objective: Objective, output: OutputObjective, y: Any) -> str:
    """The message for an output whose loss has no targets."""
    assert output.loss is not None
    given = f"`y` has only {list(y)}" if isinstance(y, Mapping) else "`y` is None"
    return (
        f"The loss '{output.loss.name}' of output '{output.name}' needs targets, but {given}. "
        "Pass y, or compile with loss=None (None for this output) and use add_loss(...)."
    )


def _like(y: Any, names: list[str], targets: list[Any]) -> Any:
    """The targets in the structure that the user gave."""
    if isinstance(y, Mapping):
        return {name: t for name, t in zip(names, targets, strict=True) if t is not None}
    return None if y is None else targets


def class_weigher(class_weight: Any) -> Callable[[Any, Any, Any], tuple[Any, Any, Any]]:
    """A function for feeds that turns class weights into sample weights, whatever the model.

    Raises:
        ValueError: If class weights are no dict.
    """
    table = _table(class_weight)

    def prepare(x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
        return x, y, _times(_class_weights(y, table, "y"), weight)

    return prepare


def fit_target(output: OutputObjective, y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Give targets the type and rank that the loss compares.

    Raises:
        ValueError: If class indices are out of range or not whole numbers, targets are not finite,
            or shapes would broadcast.
    """
    kind = kind_of_loss(output.loss)
    _check_units(output, kind, y_pred)
    dtype = output.target_dtype(y_true, y_pred)
    if dtype == torch.int64 and not _are_probabilities(output, y_true, y_pred):
        if kind in ("sparse", "log_probabilities"):
            return _class_indices(output, y_true, y_pred)
        return y_true.to(torch.int64)
    if dtype == torch.int64:
        dtype = y_pred.dtype
    if y_true.dim() == y_pred.dim() + 1 and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)  # here it is the targets that give way, whatever their rank
    else:
        y_true = with_unit_axis(y_true, y_pred)
    _check_shape(output, y_true, y_pred)
    if y_true.is_floating_point() and not bool(torch.isfinite(y_true).all()):
        raise ValueError(
            f"K114: The targets of output '{output.name}' contain NaN or infinity. Remove those "
            "rows, or give them sample_weight 0 and a number."
        )
    return y_true if dtype is None or y_true.dtype == dtype else y_true.to(dtype)


def _who(output: OutputObjective) -> str:
    assert output.loss is not None
    return f"The loss '{output.loss.name}' of output '{output.name}'"


def _check_units(output: OutputObjective, kind: str, y_pred: Tensor) -> None:
    """One unit cannot choose between classes: its softmax is always 1."""
    is_choice = kind in ("sparse", "categorical")
    if is_choice and y_pred.dim() > 1 and y_pred.shape[class_axis(output.loss)] == 1:
        raise ValueError(
            f"K105: {_who(output)} chooses between classes, but the output has one "
            "unit, which always gives 0. Use "
            'loss="binary_crossentropy", or one unit for each class.'
        )


def _are_probabilities(output: OutputObjective, y_true: Tensor, y_pred: Tensor) -> bool:
    """Whether torch's cross-entropy is given a probability for each class."""
    is_torch = isinstance(output.loss, losses.TorchLoss)
    return is_torch and y_true.is_floating_point() and y_true.shape[1:] == y_pred.shape[1:]


def _compares_shapes(loss: Any) -> bool:
    if isinstance(loss, losses.TorchLoss):
        return kind_of_loss(loss) in ("binary", "regression")
    is_ours = type(loss).__module__.split(".")[0] == "kerasish"
    return is_ours and type(loss).__name__ not in ("LossFunctionWrapper", "CTC")


def _check_shape(output: OutputObjective, y_true: Tensor, y_pred: Tensor) -> None:
    if not _compares_shapes(output.loss) or y_true.shape[1:] == y_pred.shape[1:]:
        return
    target, given = tuple(y_true.shape[1:]), tuple(y_pred.shape[1:])
    if y_true.dim() == y_pred.dim() - 1 and kind_of_loss(output.loss) == "categorical":
        raise ValueError(
            f"K113: {_who(output)} takes a number for "
            f"each class, of shape {given}, but one target has shape {target}. For class indices "
            'use loss="sparse_categorical_crossentropy".'
        )
    raise ValueError(
        f"K115: {_who(output)} compares targets and "
        f"outputs of the same shape, but one target has shape {target} and one output {given}. "
        "Reshape the targets or change the model's last layer."
    )


def _class_indices(output: OutputObjective, y_true: Tensor, y_pred: Tensor) -> Tensor:
    axis = class_axis(output.loss)
    classes = y_pred.shape[axis] if y_pred.dim() > 1 else y_pred.shape[-1]
    if y_true.dim() == y_pred.dim() and y_true.shape[axis] == 1:
        y_true = y_true.squeeze(axis)
    elif y_true.dim() == y_pred.dim() and y_true.shape[1:] == y_pred.shape[1:] and classes > 1:
        raise ValueError(
            f"K112: {_who(output)} takes class indices, "
            f"but the targets have the outputs' shape {tuple(y_true.shape[1:])}: they look "
            'one-hot. Use loss="categorical_crossentropy".'
        )
    _check_places(output, y_true, y_pred, axis)
    if y_true.is_floating_point():
        whole = y_true.to(torch.int64)
        if not torch.equal(whole.to(y_true.dtype), y_true):
            raise ValueError(
                f"K111: The targets of output '{output.name}' must be whole class numbers, but "
                "some have fractions or are NaN. Give each class a number from 0, or use a loss "
                "for regression."
            )
        y_true = whole
    _check_range(output, y_true, classes)
    return y_true.to(torch.int64)


def _check_places(output: OutputObjective, y_true: Tensor, y_pred: Tensor, axis: int) -> None:
    """Whether there is one class number for each row or place that the outputs rate."""
    rated = list(y_pred.shape)
    del rated[axis]
    if y_pred.dim() > 1 and tuple(y_true.shape[1:]) != tuple(rated[1:]):
        raise ValueError(
            f"K115: {_who(output)} takes one class number "
            f"for each of the places {tuple(rated[1:])}, but one target has shape "
            f"{tuple(y_true.shape[1:])}. Reshape the targets or change the model's last layer."
        )


def _check_range(output: OutputObjective, y_true: Tensor, classes: int) -> None:
    if not y_true.numel():
        return
    low, high = (int(v) for v in y_true.aminmax())
    inside = low >= 0 and high < classes
    ignored = getattr(output.loss, "ignore_class", None)
    if not inside and ignored is not None:
        kept = y_true[y_true != ignored]
        inside = bool(((kept >= 0) & (kept < classes)).all())
    if not inside:
        remedy = f", or give the last layer {high + 1} units" if low >= 0 else ""
        raise ValueError(
            f"K110: The targets of output '{output.name}' lie in [{low}, {high}], but the model "
            f"has {classes} outputs, for classes 0 to {classes - 1}. Number the classes from 0"
            f"{remedy}."
        )


def _arrange_weights(objective: Objective, weight: Any) -> list[Any]:
    for part in leaves(weight):
        if part.is_floating_point() and not bool(torch.isfinite(part).all()):
            raise ValueError(
                "`sample_weight` contains NaN or infinity. Give every row a finite weight; 0 "
                "leaves it out."
            )
    if weight is None or isinstance(weight, Tensor):
        return [weight] * len(objective.outputs)
    return objective.arrange(weight, "sample_weight")


def class_tables(objective: Objective, class_weight: Any) -> list[dict | None]:
    """For each output a dict of class number to weight, or `None`.

    Raises:
        ValueError: If class weights are no dict, or name outputs that do not exist.
    """
    if class_weight is None:
        return [None] * len(objective.outputs)
    table = _table(class_weight)
    if table and all(isinstance(value, Mapping) for value in table.values()):
        return objective.arrange(class_weight, "class_weight")
    if len(objective.outputs) > 1:
        raise ValueError(
            "With several outputs, give `class_weight` by output name: "
            f"{{'{objective.names[0]}': {{0: 1.0, ...}}}}."
        )
    return [table]


def _table(class_weight: Any) -> dict:
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"`class_weight` must be a dict of class index to weight, got {describe(class_weight)}."
        )
    return dict(class_weight)


def _class_weights(y_true: Tensor, table: dict, name: str) -> Tensor:
    classes = y_true
    if y_true.dim() > 1 and y_true.shape[-1] > 1 and y_true.is_floating_point():
        classes = y_true.argmax(-1)
    elif y_true.dim() > 1 and y_true.shape[-1] == 1:
        classes = y_true.squeeze(-1)
    if classes.is_floating_point():
        _check_numbered(classes, name)
    classes = classes.round().long()
    keys = [_class_number(key, value, name) for key, value in table.items()]
    size = max(int(classes.max()), *keys, 0) + 1 if keys else int(classes.max()) + 1
    weights = torch.ones(size, device=y_true.device)
    for key, value in zip(keys, table.values(), strict=True):
        weights[key] = float(value)
    # Negative numbers mark what a loss ignores, or a class that no table can name.
    return torch.where(classes < 0, 1.0, weights[classes.clamp(min=0)])


def _check_numbered(classes: Tensor, name: str) -> None:
    """Refuse measurements; numbers from 0 to 1 may be yes or no with some doubt."""
    wrong = classes[((classes < 0) | (classes > 1)) & (classes != classes.round())]
    if len(wrong):
        raise ValueError(
            f"`class_weight` of output '{name}' needs class numbers as targets, but they have "
            f"fractions, such as {float(wrong[0]):.4g}. Give each row its sample_weight instead."
        )


def _class_number(key: Any, value: Any, name: str) -> int:
    is_number = hasattr(key, "__index__") and not isinstance(key, bool) and key >= 0
    if not is_number or not isinstance(value, Real) or not isfinite(value) or value < 0:
        raise ValueError(
            f"`class_weight` of output '{name}' maps class numbers from 0 to weights of at least "
            f"0, but holds {describe(key)}: {describe(value)}."
        )
    return int(key)


def _times(a: Tensor, b: Tensor | None) -> Tensor:
    if b is None:
        return a
    if b.dim() == a.dim() + 1 and b.shape[-1] == 1:
        b = b.squeeze(-1)
    rank = max(a.dim(), b.dim())
    return a.reshape(a.shape + (1,) * (rank - a.dim())) * b.reshape(
        b.shape + (1,) * (rank - b.dim())
    )
