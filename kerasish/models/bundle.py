"""What a model knows of its data: how raw images are made ready, class names, where to freeze."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from kerasish.describe import count_of, describe
from kerasish.registry import deserialize, serialize

Decoded = list[list[tuple[int, str, float]]]


def about(model: Any) -> dict[str, Any]:
    """The bundle of a model as values that a file can hold; only what there is."""
    # Layers with a file of their own, such as FeatureSpace, know nothing of these.
    found = {
        "preprocessing": getattr(model, "_preprocessing", None),
        "class_names": getattr(model, "class_names", None),
        "freeze_point": getattr(model, "freeze_point", None),
    }
    return {key: serialize(value) for key, value in found.items() if value is not None}


def restore(model: Any, document: dict[str, Any] | None, custom_objects: Any = None) -> None:
    """Give a model the bundle that `about` described.

    Raises:
        ValueError: If it is not one.
    """
    if not isinstance(document or {}, dict):
        raise ValueError(f"The file is damaged: what it tells about the model is {document!r:.80}.")
    for key, value in (document or {}).items():
        if key in ("preprocessing", "class_names", "freeze_point"):
            setattr(model, key, deserialize(value, custom_objects))


def hand_on(model: Any, other: Any) -> None:
    """Give another model the bundle of a model."""
    if getattr(model, "_preprocessing", None) is not None:
        other.preprocessing = model._preprocessing
    other.class_names, other.freeze_point = model.class_names, model.freeze_point


def note_classes(model: Any, source: Any) -> None:
    """Take the class names of a data set, if it has some that fit and the model has none."""
    names = getattr(source, "class_names", None)
    if not isinstance(names, (list, tuple)) or not names:
        return
    if model.class_names is None:
        if outputs_of(model) in (None, len(names)) or (outputs_of(model) == 1 and len(names) == 2):
            model.class_names = [str(name) for name in names]
    elif list(names) != model.class_names and len(names) == len(model.class_names):
        warnings.warn(
            f"fit: the model's classes are named {_some(model.class_names)} and the data's "
            f"{_some(names)}. If the data's are meant, set model.class_names = None before fit.",
            stacklevel=4,
        )


def outputs_of(model: Any) -> int | None:
    """How many numbers the model gives for a row; `None` where that is not known."""
    if model.__dict__.get("_output_structure") is None:
        return None
    shape = model.output_shape
    return shape[-1] if isinstance(shape, tuple) and len(shape) > 1 else None


def decode(predictions: Any, names: Sequence[str] | None, top: int, who: str) -> Decoded:
    """The likeliest classes of each row as (index, name, score), best first.

    A single output is the probability of the second of two classes.

    Args:
        predictions: `(batch, classes)`, or `(batch, 1)`.
        names: The name of each class.
        top: How many classes to name.
        who: Who asks, for messages.

    Raises:
        ValueError: If there are no names, or the predictions have another number of classes.
    """
    if not names:
        raise ValueError(
            f"{who}: the model does not know its class names. Set model.class_names, or fit it on "
            "a data set that has class_names, such as that of image_dataset_from_directory."
        )
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise ValueError(f"{who}: `top` must be a positive number, got {describe(top)}.")
    known, scores = list(names), torch.as_tensor(predictions).detach().cpu()
    if len(names) == 2 and scores.dim() == 2 and scores.shape[1] == 1:
        scores = torch.cat([1 - scores, scores], 1)
    if scores.dim() != 2 or scores.shape[1] != len(names):
        raise ValueError(
            f"{who}: expected shape (batch, {len(names)}), got {describe(predictions)}."
        )
    values, places = scores.topk(min(top, len(names)))
    return [
        [(place, known[place], score) for place, score in zip(row, best, strict=True)]
        for row, best in zip(places.tolist(), values.tolist(), strict=True)
    ]


def checked_names(value: Any) -> list[str] | None:
    """Class names as a list.

    Raises:
        ValueError: If they are not different strings.
    """
    if value is None:
        return None
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_list or not value or not all(isinstance(name, str) for name in value):
        raise ValueError(f"`class_names` must be a list of strings, got {describe(value)}.")
    return list(value)


def _some(names: Sequence[str]) -> str:
    more = f" … ({count_of(len(names), 'name')})" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
