"""Keras's backend helpers that scripts use: defaults, number types, names, devices."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
import torch

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
