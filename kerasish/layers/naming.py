"""Automatic names of layers, as Keras gives them."""

from __future__ import annotations

import re
from collections import Counter

_names_given: Counter[str] = Counter()


def unique_name(base: str) -> str:
    """`dense`, then `dense_1`, `dense_2`, … in the order of making."""
    count = _names_given[base]
    _names_given[base] += 1
    return f"{base}_{count}" if count else base


def forget_names() -> None:
    """Start automatic names again (Keras's `clear_session`)."""
    _names_given.clear()


def snake_case(name: str) -> str:
    """`MaxPooling2D` → `max_pooling2d`, as Keras names layers."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
