"""Data that preprocessing layers learn from or are mapped over: arrays, datasets, loaders."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from kerasish.describe import describe


def is_in_memory(data: Any) -> bool:
    """Whether data is one array: array, tensor, frame, string, or lists of numbers or strings."""
    if isinstance(data, (str, bytes, np.ndarray, Tensor, int, float)):
        return True
    if isinstance(data, (list, tuple)):
        return not any(_is_batch(item) for item in data[:1])
    return hasattr(data, "to_numpy")


def _is_batch(item: Any) -> bool:
    """Whether an item of a list is a batch, rather than a number, a string or a row of them."""
    if isinstance(item, (tuple, list)):
        return any(_is_batch(part) for part in item)
    return isinstance(item, dict) or (isinstance(item, (np.ndarray, Tensor)) and item.ndim > 0)


def batches_of(data: Any, who: str, steps: int | None = None) -> Iterator[Any]:
    """The inputs of each batch; targets and weights are left out.

    Args:
        data: What `adapt` was given: arrays come whole, all else batch by batch.
        who: The layer, for error messages.
        steps: At most so many batches.

    Raises:
        TypeError: If the data is of no such kind.
        ValueError: If there is nothing in it.
    """
    if is_in_memory(data):
        if steps is not None:
            warnings.warn(f"{who}.adapt: `steps` has no effect on an array.", stacklevel=4)
        yield data
        return
    seen = 0
    for item in itertools.islice(_items(data, who), steps):
        seen += 1
        yield first_of(item)
    if not seen:
        raise ValueError(f"{who}.adapt: there are no batches in {describe(data)}.")


def _items(data: Any, who: str) -> Iterator[Any]:
    if type(data) is TensorDataset:
        return iter([data.tensors[0]])
    if hasattr(data, "batches") and hasattr(data, "peek"):
        return iter(data.batches(0))  # a feed
    if isinstance(data, Dataset) and not hasattr(data, "on_epoch_end"):
        return iter(DataLoader(data, batch_size=256))
    if hasattr(data, "on_epoch_end") or not isinstance(data, Iterable):
        if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
            raise TypeError(
                f"{who}.adapt: expected an array, a list, a dataset, a DataLoader or an iterable "
                f"of batches, got {describe(data)}."
            )
        return (data[index] for index in range(len(data)))  # type: ignore[arg-type]
    return iter(data)


def is_pair(item: Any) -> bool:
    """Whether a batch brings targets: `(x, y)` or `(x, y, sample_weight)`, or a loader's list."""
    if isinstance(item, tuple):
        return True
    if not isinstance(item, list) or not 2 <= len(item) <= 3:
        return False
    return any(isinstance(part, (Tensor, np.ndarray)) for part in item[1:])


def first_of(item: Any) -> Any:
    """The inputs of a batch."""
    return item[0] if is_pair(item) else item


def as_array(data: Any, who: str) -> Tensor:
    """Numbers as a tensor, of the type that they have.

    Raises:
        TypeError: If they are no numbers.
        ValueError: If rows differ in length.
    """
    if isinstance(data, Tensor):
        return data.detach()
    if hasattr(data, "to_numpy"):
        data = data.to_numpy()
    if isinstance(data, (list, tuple)) and any(isinstance(item, Tensor) for item in data):
        return torch.stack([torch.as_tensor(item) for item in data])
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{who}: rows differ in length; fill them up first.") from error
    if array.dtype.kind not in "buif":
        raise TypeError(f"{who}: expected numbers, got {describe(array)}.")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(np.ascontiguousarray(array).reshape(array.shape))


class MappedRows(Dataset):
    """A dataset whose inputs pass through a function, row by row."""

    def __init__(self, source: Any, function: Callable) -> None:
        self.source, self.function = source, function

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        return apply_to_inputs(self.function, self.source[index])


class MappedStream:
    """An iterable of batches whose inputs pass through a function."""

    def __init__(self, source: Iterable, function: Callable) -> None:
        self.source, self.function = source, function

    def __iter__(self) -> Iterator[Any]:
        for item in self.source:
            yield apply_to_inputs(self.function, item)


class MappedBatches(MappedStream):
    """The same, where the number of batches is known."""

    source: Any

    def __len__(self) -> int:
        return len(self.source)


def apply_to_inputs(function: Callable, item: Any) -> Any:
    """The item with its inputs passed through the function, its targets left alone."""
    return (function(item[0]), *item[1:]) if is_pair(item) else function(item)


def mapped(data: Any, function: Callable, who: str) -> Any:
    """A dataset, loader or iterable whose inputs pass through a function as they are read.

    Raises:
        TypeError: If the data is of no such kind.
    """
    if isinstance(data, Dataset) and hasattr(data, "__getitem__"):
        return MappedRows(data, function)
    if isinstance(data, Iterable) and not is_in_memory(data):
        kind = MappedBatches if hasattr(data, "__len__") else MappedStream
        return kind(data, function)
    raise TypeError(
        f"{who}.map: expected a dataset, a DataLoader or an iterable of batches, got "
        f"{describe(data)}. Call the layer itself on arrays and lists."
    )
