"""Splitting data in two, at random and class by class on request."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from kerasish import tree
from kerasish.data import to_tensor
from kerasish.describe import describe


class Rows(Dataset):
    """Rows of a structure of tensors, each row in the same structure.

    Args:
        structure: Tensors with the same number of rows, in dicts, tuples or lists.
    """

    is_fixed = True

    def __init__(self, structure: Any) -> None:
        self.structure = structure

    def __len__(self) -> int:
        return len(tree.flatten(self.structure)[0])

    def __getitem__(self, index: int) -> Any:
        return tree.map_structure(lambda tensor: tensor[index], self.structure)


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
    *,
    stratify: Any = None,
) -> tuple[Dataset, Dataset]:
    """Split rows in two: a left part, often for training, and a right part.

    Args:
        dataset: An array or tensor; a tuple or list of them, such as `(x, y)`, or a dict; or a
            torch `Dataset` with a length.
        left_size: Rows on the left: a number, or a share in (0, 1). What `right_size` leaves, by
            default.
        right_size: Rows on the right, likewise.
        shuffle: Whether to draw rows at random; otherwise the left part is the first rows.
        seed: Makes the draw repeat.
        preferred_backend: Only `None` or `"torch"`.
        stratify: A class for each row, or `True` for the last of the arrays: every class is split
            in the same proportion.

    Returns:
        Two torch datasets: of tensors for arrays, subsets for a `Dataset`.

    Raises:
        ValueError: If sizes are missing, too large, or leave a part empty.
        TypeError: If a size is no number, or rows cannot be counted.

    Example:
        >>> left, right = split_dataset((np.arange(10), np.arange(10)), left_size=0.7)
        >>> len(left), len(right)
        (7, 3)
    """
    if preferred_backend not in (None, "torch"):
        raise ValueError(f"split_dataset: kerasish works on torch, got {preferred_backend!r}.")
    rows = _as_rows(dataset)
    total = len(rows)  # type: ignore[arg-type]
    left, right = split_sizes(total, left_size, right_size)
    order = np.arange(total)
    if shuffle:
        order = np.random.default_rng(seed).permutation(total)
    if stratify is not None and stratify is not False:
        order = _stratified(order, _classes(rows, stratify), left)
    first, last = order[:left], order[left : left + right]
    # A contiguous part of in-memory rows is a view; fit then batches it as fast as arrays.
    return _part(rows, first), _part(rows, last)


def split_sizes(total: int, left_size: float | None, right_size: float | None) -> tuple[int, int]:
    """How many rows the left and the right part have.

    Example:
        >>> split_sizes(10, 0.25, None), split_sizes(10, None, 4), split_sizes(10, 3, 2)
        ((2, 8), (6, 4), (3, 2))
    """
    if left_size is None and right_size is None:
        raise ValueError("split_dataset: give `left_size` or `right_size`, or both.")
    left = _as_count("left_size", left_size, total)
    right = _as_count("right_size", right_size, total)
    left = total - right if left is None and right is not None else left
    right = total - left if right is None and left is not None else right
    assert left is not None
    assert right is not None
    if left + right > total:
        raise ValueError(
            f"split_dataset: left_size={left_size} and right_size={right_size} together are more "
            f"than the {total} rows."
        )
    if min(left, right) < 1:
        raise ValueError(
            f"split_dataset: left_size={left_size} and right_size={right_size} of {total} rows "
            "leave one part empty."
        )
    return left, right


def _as_count(name: str, size: float | None, total: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, (int, float, np.number)):
        raise TypeError(f"split_dataset: `{name}` must be a number, got {describe(size)}.")
    is_share = isinstance(size, (float, np.floating))
    if not 0 < size < (1 if is_share else total):
        raise ValueError(
            f"split_dataset: `{name}` must be a number of rows below {total} or a share in (0, 1), "
            f"got {describe(size)}."
        )
    return round(size * total) if is_share else int(size)


def _as_rows(dataset: Any) -> Dataset:
    if isinstance(dataset, Dataset):
        if not hasattr(dataset, "__len__"):
            raise TypeError(f"split_dataset: {describe(dataset)} has no length.")
        return dataset
    if isinstance(dataset, dict):
        structure = {key: to_tensor(value, str(key)) for key, value in dataset.items()}
        columns = list(structure.values())
    else:
        columns = [to_tensor(column) for column in _columns(dataset)]
        structure = None
    if not columns or len({len(column) for column in columns}) != 1:
        raise ValueError(
            f"split_dataset: arrays must have the same number of rows, got {describe(dataset)}."
        )
    return TensorDataset(*columns) if structure is None else Rows(structure)


def _columns(dataset: Any) -> list[Any]:
    is_several = isinstance(dataset, (tuple, list)) and any(hasattr(a, "shape") for a in dataset)
    return list(dataset) if is_several else [dataset]


def _part(rows: Dataset, order: np.ndarray) -> Dataset:
    if isinstance(rows, Subset) or not isinstance(rows, (TensorDataset, Rows)):
        return Subset(rows, order.tolist())
    index: Any = torch.from_numpy(order)
    if len(order) and (np.diff(order) == 1).all():
        index = slice(int(order[0]), int(order[-1]) + 1)
    if isinstance(rows, Rows):
        return Rows(tree.map_structure(lambda tensor: tensor[index], rows.structure))
    return TensorDataset(*(tensor[index] for tensor in rows.tensors))


def _classes(rows: Any, stratify: Any) -> np.ndarray:
    if stratify is not True:
        classes = np.asarray(stratify)
    elif isinstance(rows, TensorDataset) and len(rows.tensors) > 1:
        classes = rows.tensors[-1].cpu().numpy()
    else:
        classes = np.asarray([np.asarray(rows[i][-1]) for i in range(len(rows))])
    if classes.ndim > 1:
        # One-hot rows or (rows, 1) columns: rows that are equal are one class.
        classes = np.unique(classes.reshape(len(classes), -1), axis=0, return_inverse=True)[1]
    if len(classes) != len(rows):
        raise ValueError(
            f"split_dataset: `stratify` has {len(classes)} classes for {len(rows)} rows."
        )
    return classes.reshape(-1)


def _stratified(order: np.ndarray, classes: np.ndarray, left: int) -> np.ndarray:
    """Reorder so that the first `left` rows, and the rest, hold each class in proportion."""
    of_rows = classes[order]
    position = np.empty(len(order))
    for name in np.unique(of_rows):
        places = np.flatnonzero(of_rows == name)
        position[places] = (np.arange(len(places)) + 0.5) / len(places)
    # Evenly spread within each class, so any cut takes the same share of every class.
    spread = np.argsort(position, kind="stable")
    head, tail = np.sort(spread[:left]), np.sort(spread[left:])
    return order[np.concatenate([head, tail])]
