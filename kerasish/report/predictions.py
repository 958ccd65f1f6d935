"""Targets and predictions side by side, from any kind of data; class numbers of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kerasish.data import Feed, make_feed
from kerasish.data.columns import names_in_table
from kerasish.describe import describe
from kerasish.models import Model
from kerasish.training.session import as_numpy


class Predictions(NamedTuple):
    """What is true and what a model says.

    Attributes:
        y_true: The targets, one row for each sample.
        y_pred: The model's outputs for them.
        class_names: The names of the classes, where the data or the model know them.
    """

    y_true: np.ndarray
    y_pred: np.ndarray
    class_names: list[str] | None = None


def predictions(
    model: Any, x: Any, y: Any = None, *, batch_size: int | None = None, tta: Any = None
) -> Predictions:
    """Predict, and keep the targets.

    What it returns is what the other functions take: `confusion_matrix(*predictions(model, data))`.

    Args:
        model: A model, or a torch module.
        x: Anything that `predict` takes; with targets, `y` is left out.
        y: Targets, for inputs in memory.
        batch_size: Rows in a batch, 32 by default.
        tta: Views to average over, as in `predict`.

    Raises:
        ValueError: If there are no targets, or the model has several outputs.

    Example:
        >>> from kerasish import Input, Sequential, layers
        >>> model = Sequential([Input((4,)), layers.Dense(3)])
        >>> found = predictions(model, np.ones((5, 4)), np.arange(5))
        >>> found.y_true.shape, found.y_pred.shape
        ((5,), (5, 3))
    """
    model = as_model(model)
    if y is not None:
        y_pred = model.predict(x, batch_size=batch_size, verbose=0, tta=tta)
        y_true = _array(y)
    else:
        feed = make_feed(x, batch_size=batch_size)
        targets: list[Tensor] = []
        y_pred = model.predict(_Inputs(feed, targets), verbose=0, tta=tta)
        y_true = torch.cat(targets).numpy()
    if not isinstance(y_pred, np.ndarray):
        raise ValueError(f"predictions: one output is needed, got {describe(y_pred)}.")
    return Predictions(y_true, y_pred, names_of(model, x))


def names_of(model: Any, data: Any) -> list[str] | None:
    """The names of the classes, as the data or else the model know them."""
    inner = data
    while inner is not None:  # a loader has its data set, and a subset that which it is of
        names = getattr(inner, "class_names", None) or getattr(inner, "classes", None)
        names = names or names_in_table(inner)
        if names:
            return list(names)
        inner = getattr(inner, "dataset", None)
    return getattr(model, "class_names", None)


class _Inputs:
    """The inputs of each batch of a feed; its targets go into a list."""

    def __init__(self, feed: Feed, targets: list[Tensor]) -> None:
        self.feed, self.targets = feed, targets
        self.holds_pixels = feed.holds_pixels  # so that a model makes raw images ready

    def __iter__(self) -> Iterator[Any]:
        for x, y, _ in self.feed.batches(0):
            if not isinstance(y, Tensor):
                raise ValueError(
                    f"predictions: the data must bring one target for each row, got {describe(y)}; "
                    "pass it as `y`."
                )
            self.targets.append(y.cpu())
            yield x


def as_model(model: Any) -> Any:
    """A model as it is; a torch module as a model.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(model, Model):
        return model
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"Expected a model or a torch module, got {describe(model)}.")
    return Model(model)


def class_numbers(y_true: Any, y_pred: Any, owner: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Targets and predictions as class numbers, and how many classes they can tell apart.

    Args:
        y_true: Class numbers, or rows with a one for the class.
        y_pred: Class numbers, or a row of scores for each sample: the greatest wins. Rows of one
            score are for class 1 above 0.5 if all scores are from 0 to 1, else above 0; whole
            numbers from 0 on are class numbers, of whatever type.
        owner: Who asks, for messages.

    Shapes:
        y_true: `(rows,)`, `(rows, 1)` or `(rows, classes)`
        y_pred: the same

    Raises:
        ValueError: If they are of other shapes or types, hold NaN, or their rows differ in number.
    """
    true, classes_true = _classes(y_true, "y_true", owner)
    predicted, classes = _classes(y_pred, "y_pred", owner)
    if len(true) != len(predicted):
        raise ValueError(
            f"{owner}: y_true and y_pred must have the same number of rows, got {describe(y_true)} "
            f"and {describe(y_pred)}."
        )
    return true, predicted, max(classes, classes_true)


def _classes(value: Any, name: str, owner: str) -> tuple[np.ndarray, int]:
    array = _array(value)
    if array.dtype.kind not in "buif" or array.ndim not in (1, 2) or not len(array):
        raise ValueError(
            f"{owner}: `{name}` must hold class numbers, or a row of scores for each sample, "
            f"got {describe(value)}."
        )
    if np.isnan(array).any():
        raise ValueError(f"{owner}: `{name}` holds NaN, which is no class and no score.")
    if array.ndim == 2 and array.shape[1] > 1:
        return array.argmax(1), array.shape[1]
    array = array.reshape(-1)
    is_whole = bool((array == array.round()).all())
    if not is_whole or (name == "y_pred" and array.dtype.kind == "f" and array.min() < 0):
        is_probability = ((array >= 0) & (array <= 1)).all()
        array = array > (0.5 if is_probability else 0.0)
    numbers = array.astype(np.int64)
    if numbers.min() < 0:
        raise ValueError(f"{owner}: class numbers begin with 0, got {numbers.min()} in `{name}`.")
    return numbers, max(2, int(numbers.max()) + 1)


def _array(value: Any) -> np.ndarray:
    return as_numpy(value) if isinstance(value, Tensor) else np.asarray(value)


def checked_names(names: Sequence[str] | None, count: int, owner: str) -> list[str]:
    """The names of the classes, their numbers by default.

    Raises:
        ValueError: If there are fewer than classes.
    """
    if names is None:
        return [str(number) for number in range(count)]
    if len(names) < count:
        raise ValueError(
            f"{owner}: there are {count} classes, but {len(names)} class_names: {list(names)[:5]}."
        )
    return [str(name) for name in names]
