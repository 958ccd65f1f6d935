"""Streams whose rows have numbers and are the same in every pass: read by number, and replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from kerasish.data.batch_source import ReadyBatches, ReadyLoader
from kerasish.data.feed import ArrayFeed, Batch
from kerasish.data.stream import StreamFeed
from kerasish.describe import describe

# Those that draw from all rows of the data, and from nothing but torch's generators.
_SAMPLERS = (RandomSampler, SequentialSampler, WeightedRandomSampler)


def is_fixed(data: Any) -> bool | None:
    """Whether a data set gives the same rows in every pass; `None` where nobody knows.

    One with an attribute `is_fixed` says so itself.
    """
    said = getattr(data, "is_fixed", None)
    if isinstance(said, bool):
        return said
    if type(data) is ReadyBatches:
        return is_fixed(data.source)
    if type(data) is Subset:
        return is_fixed(data.dataset)
    if type(data) is ConcatDataset:
        return _all_fixed(data.datasets)
    if type(data) is StackDataset:
        parts = data.datasets
        return _all_fixed(parts.values() if isinstance(parts, dict) else parts)
    return True if type(data) is TensorDataset else None


def _all_fixed(parts: Iterable[Any]) -> bool | None:
    known = [is_fixed(part) for part in parts]
    return False if False in known else None if None in known else True


def why_not_numbered(feed: StreamFeed) -> str | None:
    """What keeps rows from being read by number in place of the batches of a feed, if anything."""
    loader = feed._source
    is_known = type(loader) is DataLoader or isinstance(loader, ReadyLoader)
    if not is_known or isinstance(loader.dataset, IterableDataset):
        return f"the rows of {describe(loader)} have no numbers to tell them apart"
    if type(loader.batch_sampler) is not BatchSampler:
        return "its DataLoader does not make batches of one size"
    is_ours = feed._sampler is not None or isinstance(loader, ReadyLoader)
    if not is_ours and type(loader.sampler) not in _SAMPLERS:
        return f"nobody knows which rows a {type(loader.sampler).__name__} takes"
    if loader.persistent_workers:
        return "its DataLoader keeps its workers, whose random numbers cannot be repeated"
    if getattr(loader, "limit", None) is not None:
        return "take() leaves out other rows in each epoch"
    if len(loader.dataset) < (loader.batch_size or 0) < len(loader.sampler):  # type: ignore[arg-type]
        return "its batches have more rows than its data"
    return None


class NumberedRows:
    """Rows of a stream, read by their numbers.

    Args:
        feed: A feed about which `why_not_numbered` has nothing to say.

    Attributes:
        count: How many there are.
        size: Rows in a full batch.
        short: Rows in the last batch of a pass where it is not full, else 0.
        is_fixed: Whether they are the same whenever they are read; `None` where nobody knows.
    """

    def __init__(self, feed: StreamFeed) -> None:
        self.feed, self.loader = feed, feed._source
        self._functions = getattr(self.loader, "functions", ())
        taken = len(self.loader.sampler)
        self.count = len(self.loader.dataset)
        self.size = min(self.loader.batch_size, taken)
        self.short = 0 if self.loader.drop_last else taken % self.size
        known = is_fixed(self.loader.dataset)
        self.is_fixed = None if known and self._functions else known

    def forget(self) -> None:
        """Drop a pass that has begun, so that nobody else reads; `resume` begins it again."""
        self.feed.forget_begun()

    def replaced(
        self, columns: Batch, device: torch.device, short: Callable[[Any], Any] | None
    ) -> NumberedFeed:
        """A feed of columns with the order of this one's batches."""
        return NumberedFeed(self, columns, device, short)

    def read(self, rows: Tensor) -> Batch:
        """The rows of these numbers, as the feed gives them."""
        data, numbers = self.loader.dataset, rows.tolist()
        if getattr(data, "__getitems__", None):
            found = data.__getitems__(numbers)
        else:
            found = [data[number] for number in numbers]
        return self._ready(self.loader.collate_fn(found))

    def read_all(self, orders: list[Tensor]) -> Iterator[Batch]:
        """A batch for each list of numbers, read as the loader reads."""
        loader = self.loader
        # All lists but the last have one length.
        rows: Any = torch.cat([*orders, torch.zeros(0, dtype=torch.long)]).tolist()
        size = max(map(len, orders), default=1)
        if isinstance(loader, ReadyLoader):
            return map(self._ready, ReadyLoader(loader.source, size, rows))
        again = DataLoader(
            loader.dataset,
            size,
            sampler=rows,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        )
        return map(self._ready, again)

    def _ready(self, item: Any) -> Batch:
        if item is None:
            return None, None, None  # none of these rows could be read
        for function in self._functions:
            item = function(*item) if isinstance(item, tuple) else function(item)
        return self.feed._ready(item)


class _Numbers(Dataset):
    """The numbers of rows in the place of rows."""

    runs_ahead = False  # a number is there at once

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


class NumberedFeed(StreamFeed):
    """Batches of columns in the place of another feed's batches, in the same order.

    It draws the same random numbers for the order as that feed does.

    Args:
        rows: The rows of that feed.
        columns: A batch of all rows.
        device: Where batches are wanted.
        short: Makes the first column of a batch that is not full anew, from the inputs.
    """

    def __init__(
        self,
        rows: NumberedRows,
        columns: Batch,
        device: torch.device,
        short: Callable[[Any], Any] | None = None,
    ) -> None:
        feed, loader = rows.feed, rows.loader
        numbers = DataLoader(
            _Numbers(rows.count),
            loader.batch_size,
            sampler=loader.sampler,
            drop_last=loader.drop_last,
            collate_fn=torch.tensor,
            generator=loader.generator,
        )
        super().__init__(numbers, device=device)
        self._sampler, self._shard = feed._sampler, feed._shard
        self.num_batches, self.first_epoch = feed.num_batches, feed.first_epoch
        self._rows, self._short = rows, short
        # Numbers of any width stay as they are.
        self._columns = ArrayFeed(*columns, device=device, floats=torch.float64)

    def _collect(self, item: Tensor) -> Batch:
        columns = self._columns._columns
        found = tuple(column.index_select(0, item.to(column.device)) for column in columns)
        batch = self._columns._rebuild(found)
        if self._short is None or len(item) == self._rows.size:
            return batch
        return self._short(self._rows.read(item)[0]), *batch[1:]
