"""Feeds of data that comes batch by batch: datasets, loaders, generators, any iterable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, TensorDataset

from kerasish.data.arrays import as_tensors, leaves, map_leaves
from kerasish.data.feed import Batch, Feed, Prepare, mix_seed
from kerasish.describe import describe


def rows_of_dataset(source: Any) -> Batch | None:
    """The tensors of a `TensorDataset` as `(x, y, weight)`, else `None`: no need to go row by row."""
    if type(source) is TensorDataset and 1 <= len(source.tensors) <= 3:
        padded = (*source.tensors, None, None)
        return padded[0], padded[1], padded[2]
    return None


class EpochSampler(Sampler):
    """The order of rows in an epoch, from a seed and the epoch's number alone."""

    def __init__(self, count: int, shuffle: bool, seed: int) -> None:
        self.count, self.shuffle, self.seed = count, shuffle, seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            return iter(range(self.count))
        generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch))
        return iter(torch.randperm(self.count, generator=generator).tolist())

    def __len__(self) -> int:
        return self.count


class StreamFeed(Feed):
    """Batches from a `Dataset`, `DataLoader`, generator or iterable.

    Args:
        source: A torch `Dataset` is batched here; anything else yields ready batches: `x`,
            `(x, y)` or `(x, y, sample_weight)`.
        batch_size: Rows in a batch, for a `Dataset`; 32 by default.
        shuffle: Whether to draw a new order each epoch, for a `Dataset`.
        seed: With the epoch's number, decides the order.
        device: Where batches are wanted.

    Raises:
        TypeError: If the source cannot be iterated.
        ValueError: If a batch size is given for a source that makes its own batches.
    """

    def __init__(
        self,
        source: Any,
        *,
        batch_size: int | None = None,
        shuffle: bool | str = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self._prepare: Prepare | None = None
        self._sampler: EpochSampler | None = None
        self._waiting: tuple[Batch, Iterator[Any]] | None = None
        if isinstance(source, Dataset):
            source = self._loader(source, batch_size or 32, bool(shuffle), seed)
        elif batch_size is not None:
            raise ValueError(
                f"`batch_size` has no effect on {describe(source)}, which makes its own batches. "
                "Leave it out."
            )
        if not isinstance(source, Iterable) and not hasattr(source, "__getitem__"):
            raise TypeError(
                "x must be arrays, tensors, a Dataset, a DataLoader or something that yields "
                f"batches; got {describe(source)}."
            )
        self._source: Any = source
        self.is_one_shot = isinstance(source, Iterator)
        self.num_batches = len(source) if hasattr(source, "__len__") else None
        if isinstance(source, DataLoader):
            self.batch_size = source.batch_size
            if hasattr(source.dataset, "__len__") and not isinstance(
                source.dataset, IterableDataset
            ):
                self.num_samples = len(source.dataset)  # type: ignore[arg-type]
            elif isinstance(source.dataset, IterableDataset) and not hasattr(
                source.dataset, "__len__"
            ):
                self.num_batches = None

    def _loader(self, data: Dataset, batch_size: int, shuffle: bool, seed: int) -> DataLoader:
        if isinstance(data, IterableDataset):
            return DataLoader(data, batch_size=batch_size)
        self._sampler = EpochSampler(len(data), shuffle, seed)  # type: ignore[arg-type]
        return DataLoader(data, batch_size=batch_size, sampler=self._sampler)

    def prepare(self, function: Prepare) -> None:
        """Apply the function to each batch as it comes."""
        before = self._prepare
        self._prepare = function if before is None else _in_turn(before, function)

    def peek(self) -> Batch:
        """The first batch; the next pass begins with it."""
        if self._waiting is None:
            iterator = self._iterate(0)
            first = next(iterator, None)
            if first is None:
                raise ValueError(f"There are no batches in {describe(self._source)}.")
            self._waiting = (first, iterator)
        return self._ready(self._waiting[0])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One pass over the source."""
        if self._waiting is not None:
            (first, iterator), self._waiting = self._waiting, None
            yield self._ready(first)
        else:
            iterator = self._iterate(epoch)
        for batch in iterator:
            yield self._ready(batch)

    def _iterate(self, epoch: int) -> Iterator[Any]:
        if self._sampler is not None:
            self._sampler.epoch = epoch
        elif hasattr(getattr(self._source, "sampler", None), "set_epoch"):
            self._source.sampler.set_epoch(epoch)
        if not isinstance(self._source, Iterable) or hasattr(self._source, "on_epoch_end"):
            return self._by_index()
        return iter(self._source)

    def _by_index(self) -> Iterator[Any]:
        """Keras's PyDataset: batches by number, and a hook after each pass."""
        for index in range(len(self._source)):
            yield self._source[index]
        if hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()

    def _ready(self, item: Any) -> Batch:
        x, y, weight = split_batch(item)
        batch = as_tensors(x, "x"), as_tensors(y, "y"), as_tensors(weight, "sample_weight")
        batch = map_leaves(self._send, batch)
        return batch if self._prepare is None else self._prepare(*batch)  # type: ignore[return-value]

    def _send(self, tensor: Tensor) -> Tensor:
        if tensor.device == self.device:
            return tensor
        return tensor.to(self.device, non_blocking=tensor.is_pinned())


def _in_turn(first: Prepare, second: Prepare) -> Prepare:
    return lambda x, y, weight: second(*first(x, y, weight))


def split_batch(item: Any) -> Batch:
    """What a source yields, as `(x, y, sample_weight)`.

    Raises:
        ValueError: If it is a tuple or list of more than three.
    """
    if not isinstance(item, (tuple, list)):
        return item, None, None
    if not 1 <= len(item) <= 3:
        raise ValueError(
            "A batch must be x, (x, y) or (x, y, sample_weight), got a "
            f"{describe(item)}. Put several inputs into a tuple or dict of their own."
        )
    padded = (*item, None, None)
    return padded[0], padded[1], padded[2]


def batch_rows(batch: Batch) -> int:
    """How many rows a batch has."""
    first = next(leaves(batch[0]))
    return first.shape[0] if first.dim() else 1
