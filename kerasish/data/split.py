"""Splitting the tail of in-memory data off for validation."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch.utils.data import Dataset, Subset

from kerasish.data.arrays import as_tensors, is_array, map_leaves
from kerasish.data.columns import open_table
from kerasish.data.feed import check_rows
from kerasish.describe import describe

Data = tuple[Any, Any, Any]


def split_tail(x: Any, y: Any, sample_weight: Any, fraction: float) -> tuple[Data, Data]:
    """Split the last rows off, before any shuffling, as Keras does.

    Args:
        x: Arrays in memory, or a `Dataset` with a length.
        y: Targets.
        sample_weight: Weights.
        fraction: The share of rows that is split off, between 0 and 1.

    Returns:
        The first rows and the last rows, each `(x, y, sample_weight)`.

    Raises:
        ValueError: If the fraction leaves either part empty, or the data cannot be split.
    """
    if not isinstance(fraction, Real) or not 0 < fraction < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1, got {describe(fraction)}.")
    x = open_table(x)
    if isinstance(x, Dataset) and hasattr(x, "__len__"):
        count = len(x)  # type: ignore[arg-type]
        cut = _cut(count, fraction)
        return (Subset(x, range(cut)), None, None), (Subset(x, range(cut, count)), None, None)
    if not is_array(x):
        raise ValueError(
            f"`validation_split` needs rows that can be counted and indexed, got {describe(x)}. "
            "Pass validation_data= instead."
        )
    named = ((x, "x"), (y, "y"), (sample_weight, "sample_weight"))
    # How wide numbers are to be is for the feeds to say.
    data = tuple(as_tensors(value, name, torch.float64) for value, name in named)
    count = check_rows(data)
    cut = _cut(count, fraction)
    return map_leaves(lambda t: t[:cut], data), map_leaves(lambda t: t[cut:], data)  # type: ignore[return-value]


def _cut(count: int, fraction: float) -> int:
    cut = int(count * (1 - fraction))
    if cut == 0 or cut == count:
        raise ValueError(
            f"`validation_split={fraction}` of {count} rows leaves nothing to "
            f"{'train on' if cut == 0 else 'validate on'}."
        )
    return cut
