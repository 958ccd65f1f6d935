"""Data sets of Hugging Face: rows of named columns become inputs and targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from kerasish.data.batch_source import BatchSource
from kerasish.describe import describe

# The columns that are targets, in lower case; all others are inputs.
TARGETS = ("label", "labels", "target", "targets", "y")


class TableSource(BatchSource):
    """A `datasets.Dataset`, whose rows are read a batch at a time.

    Args:
        table: The data set. One that is formatted as torch or NumPy, or has a transform of its
            own, is read as that, others as NumPy, so that images are height × width × channels.
    """

    def __init__(self, table: Any) -> None:
        kind, names = table.format["type"], table.format["columns"]
        self.is_transformed = kind == "custom"
        # Nobody knows what a transform does: it may augment, and name its columns anew.
        self.is_fixed = None if self.is_transformed else True
        if kind not in ("torch", "numpy", "custom"):
            table = table.with_format("numpy", columns=names)
        self.table = table
        self.target = None if self.is_transformed else target_among(names)

    def __len__(self) -> int:
        return len(self.table)

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Any:
        """The rows of these numbers as `x` or `(x, y)`."""
        rows = self.table[list(indices)]
        if not self.is_transformed:
            return split_columns(rows, self.target)
        columns = {name: stacked(values, name) for name, values in rows.items()}
        return split_columns(columns, target_among(columns))


class TableStream(IterableDataset):
    """A `datasets.IterableDataset`, row by row.

    Args:
        table: The data set, which may shuffle by itself.
    """

    def __init__(self, table: Any) -> None:
        self.table = table.with_format("torch")

    def set_epoch(self, epoch: int) -> None:
        """Say which pass comes next, by which the data set shuffles."""
        self.table.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        for row in self.table:
            yield split_columns(row, target_among(row))


def open_table(data: Any) -> Any:
    """A data set of Hugging Face as torch's kind of data set; anything else as it is.

    Raises:
        ValueError: If it is a dict of several splits.
    """
    if not (hasattr(data, "column_names") and hasattr(data, "with_format")):
        return data
    if isinstance(data, dict):
        raise ValueError(
            f"Expected one data set, got the splits {list(data)}. Pass one of them, such as "
            f"data[{next(iter(data), None)!r}]."
        )
    return TableStream(data) if isinstance(data, IterableDataset) else TableSource(data)


def names_in_table(data: Any) -> list[str] | None:
    """The names of the classes that a data set of Hugging Face gives its target, if it does."""
    kinds = getattr(data, "features", None)
    if not isinstance(kinds, dict):
        return None
    return getattr(kinds.get(target_among(kinds)), "names", None)


def stacked(values: Any, column: str) -> Any:
    """One array of a column that a transform gave as a list of arrays, tensors or images.

    Raises:
        ValueError: If they differ in shape.
    """
    arrays = ("__array__", "__array_interface__")  # PIL's images have the second
    if not isinstance(values, (list, tuple)) or not any(
        hasattr(value, name) for value in values for name in arrays
    ):
        return values
    are_tensors = all(isinstance(value, torch.Tensor) for value in values)
    rows: list[Any] = list(values) if are_tensors else [np.asarray(value) for value in values]
    shapes = sorted({tuple(row.shape) for row in rows})
    if len(shapes) > 1:
        raise ValueError(
            f"The transform of the data set gives rows of different shapes in column '{column}': "
            f"{', '.join(map(str, shapes[:3]))}. Let it pad or resize them to one shape."
        )
    return torch.stack(rows) if are_tensors else np.stack(rows)


def target_among(names: Any) -> str | None:
    """The column that is the target: `None` where no column has one of the usual names.

    Raises:
        ValueError: If several have.
    """
    found = [name for name in names if name.lower() in TARGETS]
    if len(found) > 1:
        raise ValueError(
            f"The data set has several columns that may be targets: {found}. Remove or rename all "
            "but one with remove_columns() or rename_column()."
        )
    return found[0] if found else None


def split_columns(rows: dict[str, Any], target: str | None) -> Any:
    """Columns as `x`, or `(x, y)`; inputs of a single column are an array, others a dict.

    Raises:
        ValueError: If there is nothing but the target.
    """
    inputs = {name: column for name, column in rows.items() if name != target}
    if not inputs:
        raise ValueError(f"The data set has no inputs, only {describe(rows)}.")
    x = next(iter(inputs.values())) if len(inputs) == 1 else inputs
    return x if target is None else (x, rows[target])
