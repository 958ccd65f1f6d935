"""Checks of the numbers that an optimizer is given."""

from __future__ import annotations

import math
from typing import Any, TypedDict

import numpy as np

from kerasish.describe import describe


class Options(TypedDict, total=False):
    """The settings that every optimizer takes by keyword; see `Optimizer`."""

    weight_decay: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


def number(owner: str, name: str, value: Any, *, maximum: float = math.inf) -> float:
    """The value as a float from 0 to `maximum`; 0-d arrays and tensors count as numbers.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is negative, infinite, not a number or too large.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{owner}: `{name}` must be a number, got {describe(value)}.")
    if not 0 <= value <= maximum or math.isinf(value):
        limit = "at least 0" if math.isinf(maximum) else f"from 0 to {maximum:g}"
        raise ValueError(f"{owner}: `{name}` must be finite and {limit}, got {describe(value)}.")
    return float(value)


def optional_number(owner: str, name: str, value: Any) -> float | None:
    """As `number`, and `None` stays `None`."""
    return None if value is None else number(owner, name, value)


def optional_count(owner: str, name: str, value: Any) -> int | None:
    """A positive integer or `None`; NumPy's integers count as such.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(value, np.integer):
        value = int(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(
            f"{owner}: `{name}` must be a positive integer or None, got {describe(value)}."
        )
    return value
