"""Checks of the arguments that augmentation layers share: ranges, value ranges, fill modes."""

from __future__ import annotations

from typing import Any

from kerasish.describe import describe


def is_number(value: Any) -> bool:
    """Whether it is a plain number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def bounds(
    layer: Any,
    argument: str,
    value: Any,
    least: float,
    most: float,
    *,
    low: float | None = None,
    open_below: bool = False,
) -> tuple[float, float]:
    """A range from which numbers are drawn: two numbers, or one that stands for a range.

    Args:
        layer: Whose argument it is.
        argument: Its name.
        value: What was given.
        least: The smallest number allowed.
        most: The greatest number allowed.
        low: Where the range begins when only one number is given; by default at its negative.
        open_below: Whether `least` itself is excluded.

    Raises:
        ValueError: If it is no range within the limits.
    """
    pair = value
    if is_number(value):
        pair = (-abs(value), abs(value)) if low is None else (low, value)
    good = isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(is_number, pair))
    given = pair if good and not is_number(value) else (value,)
    if not good or any(n < least or n > most or (open_below and n == least) for n in given):
        opening = "(" if open_below else "["
        raise ValueError(
            f"{type(layer).__name__}: `{argument}` must be a number or a pair of numbers in "
            f"{opening}{least:g}, {most:g}], got {describe(value)}."
        )
    first, second = sorted(pair)
    return float(first), float(second)


def value_range_of(layer: Any, value: Any) -> tuple[float, float]:
    """The least and the greatest pixel value.

    Raises:
        ValueError: If it is not a pair of different numbers.
    """
    good = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))
    if not good or value[0] == value[1]:
        raise ValueError(
            f"{type(layer).__name__}: `value_range` must be two numbers such as (0, 255) or "
            f"(0, 1), got {describe(value)}."
        )
    low, high = sorted(value)
    return float(low), float(high)
