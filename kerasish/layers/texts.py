"""Strings as layers take them: any nesting of lists and arrays, flattened, with its shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasish.describe import describe


@dataclass(frozen=True)
class Texts:
    """An array of strings, which torch has no tensor for.

    Attributes:
        flat: The strings, row by row.
        shape: How they lie. Empty for a single string.
    """

    flat: list[str]
    shape: tuple[int, ...]


def holds_strings(value: Any) -> bool:
    """Whether the first leaf of nested lists, or the element type of an array, is a string."""
    if isinstance(value, Texts):
        return True
    while isinstance(value, (list, tuple)):
        if not value:
            return False
        value = value[0]
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            return bool(value.size) and holds_strings(value.flat[0])
        return value.dtype.kind in "UST"
    return isinstance(value, (str, bytes))


def as_texts(value: Any, who: str, encoding: str = "utf-8") -> Texts:
    """Flatten strings.

    Args:
        value: A string, nested lists of strings, a NumPy array or a column of a frame.
        who: The layer, for error messages.
        encoding: What bytes are decoded by.

    Raises:
        TypeError: If it holds anything but strings.
        ValueError: If rows differ in length.
    """
    if isinstance(value, Texts):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (str, bytes)):
        return Texts(_decoded([value], who, encoding), ())
    items = _one_level(value, who)
    shape = [len(items)]
    while items and _is_row(items[0]):
        rows = [_one_level(row, who) for row in items]
        if len({len(row) for row in rows}) > 1:
            raise ValueError(
                f"{who}: rows differ in length. Fill them up with the mask token, or ask for an "
                "output_mode that counts, such as 'multi_hot'."
            )
        shape.append(len(rows[0]))
        items = [item for row in rows for item in row]
    return Texts(_decoded(items, who, encoding), tuple(shape))


def as_rows(value: Any, who: str, encoding: str = "utf-8") -> list[list[str]]:
    """Strings as rows that may differ in length; one row if there is but one level."""
    if isinstance(value, Texts):
        width = value.shape[-1] if len(value.shape) > 1 else len(value.flat)
        starts = range(0, len(value.flat), max(width, 1))
        return [value.flat[start : start + width] for start in starts]
    items = _one_level([value] if isinstance(value, (str, bytes)) else value, who)
    if not items or not _is_row(items[0]):
        return [_decoded(items, who, encoding)]
    return [as_texts(row, who, encoding).flat for row in items]


def is_ragged(value: Any) -> bool:
    """Whether it is a list of rows of different lengths."""
    if not isinstance(value, (list, tuple)) or not value or not _is_row(value[0]):
        return False
    return len({len(row) for row in value}) > 1


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _one_level(value: Any, who: str) -> list:
    if isinstance(value, (list, tuple)):
        return list(value)
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim else [value.item()]
    raise TypeError(
        f"{who}: expected a string, a list or an array of strings, got {describe(value)}."
    )


def _decoded(items: Iterable[Any], who: str, encoding: str) -> list[str]:
    found = list(items)
    for place, item in enumerate(found):
        if isinstance(item, bytes):
            found[place] = item.decode(encoding)
        elif not isinstance(item, str):
            raise TypeError(f"{who}: expected strings, got {describe(item)}.")
        elif type(item) is not str:
            found[place] = str(item)  # a string of NumPy shows itself as such in a vocabulary
    return found
