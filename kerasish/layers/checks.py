"""Checks of layer arguments that many layers share."""

from __future__ import annotations

from typing import Any

from kerasish.describe import describe


def _who(layer: Any) -> str:
    return type(layer).__name__


def positive_int(layer: Any, argument: str, value: Any) -> int:
    """The value as a positive integer.

    Raises:
        ValueError: If it is not one.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) <= 0:
        raise ValueError(
            f"{_who(layer)}: `{argument}` must be a positive integer, got {describe(value)}."
        )
    return int(value)


def sizes(layer: Any, argument: str, value: Any, rank: int, *, minimum: int = 1) -> tuple[int, ...]:
    """One integer, or one per spatial axis, as a tuple of `rank` integers.

    Raises:
        ValueError: If it is neither.
    """
    items = (value,) * rank if isinstance(value, int) else value
    good = isinstance(items, (tuple, list)) and len(items) == rank
    if not good or any(not isinstance(i, int) or isinstance(i, bool) or i < minimum for i in items):
        raise ValueError(
            f"{_who(layer)}: `{argument}` must be an integer >= {minimum} or {rank} of them, "
            f"got {describe(value)}."
        )
    return tuple(items)


def fraction(layer: Any, argument: str, value: Any) -> float:
    """A number in [0, 1].

    Raises:
        ValueError: If it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(
            f"{_who(layer)}: `{argument}` must be a number from 0 to 1, got {describe(value)}."
        )
    return float(value)


def one_of(layer: Any, argument: str, value: Any, choices: tuple) -> Any:
    """The value, if it is one of the choices (strings in any case).

    Raises:
        ValueError: If it is not.
    """
    value = value.lower() if isinstance(value, str) else value
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(
            f"{_who(layer)}: `{argument}` must be one of {listed}, got {describe(value)}."
        )
    return value


def not_quantized(layer: Any, **settings: Any) -> None:
    """Refuse Keras's settings of quantisation, which torch does after training.

    Raises:
        ValueError: If one of them is not `None`.
    """
    for name, value in settings.items():
        if value is not None:
            raise ValueError(
                f"{_who(layer)}: `{name}` is not supported, got {describe(value)}. Quantise the "
                "finished model with torchao.quantize_(model, ...), which replaces the weights of "
                "torch's modules inside the layers."
            )
