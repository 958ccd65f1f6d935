"""Keras's backend helpers that scripts use: defaults, number types, names, devices."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
import torch

from kerasish import ops
from kerasish.config import (
    as_dtype,
    backend,
    dtype_name,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from kerasish.graph.symbolic import SymbolicTensor
from kerasish.layers.naming import forget_names

_uids: Counter[str] = Counter()


def clear_session(free_memory: bool = True) -> None:
    """Start automatic names again, and give unused memory on a GPU back.

    Args:
        free_memory: Whether to empty torch's cache of GPU memory. Models hold nothing that
            outlives them, so there is nothing else to free.
    """
    forget_names()
    _uids.clear()
    if free_memory and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def device(device_name: str) -> torch.device:
    """The device of new tensors and weights inside a `with` block.

    Args:
        device_name: `"cpu"`, `"cuda:1"`, or in Keras's words `"gpu:1"`.

    Example:
        >>> with device("cpu"):
        ...     torch.ones(1).device
        device(type='cpu')
    """
    return torch.device(device_name.lower().replace("gpu", "cuda").removeprefix("/device:"))


def ctc_batch_cost(y_true: Any, y_pred: Any, input_length: Any, label_length: Any) -> torch.Tensor:
    """The CTC loss of each row, from probabilities whose last class stands for "no label".

    Shapes:
        y_true: `(batch, labels)`, class numbers
        y_pred: `(batch, time, classes)`, probabilities
        input_length, label_length: `(batch, 1)`
        output: `(batch, 1)`

    Args:
        y_true: The labels. Numbers that are no labels, such as 99 for 30 classes, fill up rows.
        y_pred: What a softmax gives.
        input_length: How many steps of each row count.
        label_length: How many of its labels.

    Example:
        >>> y_pred = torch.tensor([[[0.5, 0.5], [0.25, 0.75]]])  # spelled as (0, -), (-, 0), (0, 0)
        >>> cost = ctc_batch_cost([[0]], y_pred, [[2]], [[1]])
        >>> round(float(torch.exp(-cost)), 4)
        0.625
    """
    labels, probabilities = ops.cast(y_true, "int64"), ops.convert_to_tensor(y_pred)
    blank = probabilities.shape[-1] - 1
    places = torch.arange(labels.shape[1], device=labels.device)
    counts = (places < _as_column(label_length, labels)) & (labels < blank)
    cost = ops.ctc_loss(
        labels.clamp(max=blank),
        torch.log(probabilities + epsilon()),
        counts.sum(dim=1),
        _as_column(input_length, labels)[:, 0],
        mask_index=blank,
    )
    return cost[:, None]


def ctc_decode(
    y_pred: Any,
    input_length: Any,
    greedy: bool = True,
    beam_width: int = 100,
    top_paths: int = 1,
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The labels that rows of probabilities spell; their last class stands for "no label".

    Args:
        y_pred: `(batch, time, classes)`, what a softmax gives.
        input_length: How many steps of each row count: `(batch,)`.
        greedy: Whether to take the best class of each step, instead of searching for the best rows.
        beam_width: How many rows the search keeps.
        top_paths: How many it gives.

    Returns:
        A list with `(batch, time)` labels for each path, filled up with -1; and their scores.
    """
    probabilities = ops.convert_to_tensor(y_pred)
    labels, scores = ops.ctc_decode(
        torch.log(probabilities + epsilon()),
        _as_column(input_length, probabilities)[:, 0],
        strategy="greedy" if greedy else "beam_search",
        beam_width=beam_width,
        top_paths=top_paths,
        mask_index=probabilities.shape[-1] - 1,
    )
    return list(labels), scores


def _as_column(lengths: Any, beside: torch.Tensor) -> torch.Tensor:
    return ops.cast(lengths, "int64").to(beside.device).reshape(-1, 1)


def get_uid(prefix: str = "") -> int:
    """1, 2, 3, … for each prefix."""
    _uids[prefix] += 1
    return _uids[prefix]


def is_keras_tensor(x: Any) -> bool:
    """Whether it is symbolic: what `Input` and calls of layers on it give."""
    return isinstance(x, SymbolicTensor)


def is_float_dtype(dtype: Any) -> bool:
    """Whether a type holds floating-point numbers."""
    return as_dtype(standardize_dtype(dtype)).is_floating_point


def is_int_dtype(dtype: Any) -> bool:
    """Whether a type holds integers; truth values are none."""
    kind = as_dtype(standardize_dtype(dtype))
    return not (kind.is_floating_point or kind.is_complex or kind is torch.bool)


def standardize_dtype(dtype: Any) -> str:
    """The plain name of a number type; `None` is the default float type.

    Raises:
        ValueError: If there is no such type.

    Example:
        >>> standardize_dtype(torch.float16), standardize_dtype(None), standardize_dtype("int")
        ('float16', 'float32', 'int32')
    """
    if dtype is None or dtype is float or dtype == "float":
        return floatx()
    if dtype is int or dtype == "int":
        return "int32"
    if isinstance(dtype, str):
        return dtype_name(as_dtype(dtype))
    return dtype_name(as_dtype(dtype if isinstance(dtype, torch.dtype) else np.dtype(dtype)))


def result_type(*dtypes: Any) -> str:
    """The type of a result computed from several types.

    64-bit integers stay so, as in torch; Keras makes them 32 bits wide.

    Args:
        *dtypes: Types or their names. `int` and `float`, Python's own, count as weak: they take
            the type of the others where they can.

    Example:
        >>> result_type("int64", "float16"), result_type("uint8", int), result_type("int32", float)
        ('float16', 'uint8', 'float32')
    """
    named = [as_dtype(standardize_dtype(d)) for d in dtypes if d not in (int, float)]
    if float in dtypes and not any(d.is_floating_point or d.is_complex for d in named):
        return floatx()
    if not named:
        return "int32" if dtypes else floatx()
    if int in dtypes and all(d is torch.bool for d in named):
        return "int32"
    return dtype_name(functools.reduce(torch.promote_types, named))


__all__ = [
    "backend",
    "clear_session",
    "ctc_batch_cost",
    "ctc_decode",
    "device",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "result_type",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_dtype",
]
