"""Data sets that make a whole batch at a time, and know which epoch it is for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from kerasish.data.ahead import Ahead


class BatchSource(Dataset):
    """Rows that are fetched a whole batch at a time: define `__len__` and `batch`.

    `fit` takes ready batches from it. For a `DataLoader` of your own it is a data set like any
    other, whose rows are collated again.
    """

    # Of the rows that are taken one by one or by a foreign loader; see `set_epoch`.
    epoch: int | None = None
    # Whether the next batch may be made in a thread while one is used: that draws nothing from
    # generators that others use.
    runs_ahead: bool = False
    # Whether a row is the same in every pass; `None` where nobody knows.
    is_fixed: bool | None = None

    def __len__(self) -> int:
        raise NotImplementedError

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Any:
        """The rows of these numbers as one batch, or `None` if nothing of it could be read.

        Args:
            indices: The rows' numbers.
            epoch: The pass that the batch is for, which decides what is random; `None` where
                nobody counts.
        """
        raise NotImplementedError

    def set_epoch(self, epoch: int | None) -> None:
        """Say which pass rows are for, where a foreign loader takes them."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"There is no row {index} among {len(self)}.")
        batch = self.batch([index % len(self)], self.epoch)
        if batch is None:
            return None
        return tuple(part[0] for part in batch) if isinstance(batch, tuple) else batch[0]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The rows of these numbers, which torch's loaders ask for together."""
        batch = self.batch(indices, self.epoch)
        if batch is None:
            return []
        return list(zip(*batch, strict=True)) if isinstance(batch, tuple) else list(batch)


class Part(BatchSource):
    """Some rows of a source.

    Args:
        source: Where batches come from.
        rows: The rows' numbers there.
    """

    def __init__(self, source: BatchSource, rows: Sequence[int]) -> None:
        self.source, self.rows = source, rows
        self.runs_ahead = source.runs_ahead
        self.holds_pixels = getattr(source, "holds_pixels", False)
        self.is_fixed = source.is_fixed

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Any:
        """The rows of these numbers as one batch."""
        return self.source.batch([self.rows[index] for index in indices], epoch)


def as_source(data: Dataset) -> BatchSource | None:
    """A source, or torch's subset of one, as a source; `None` for any other data set."""
    if isinstance(data, Subset) and type(data) is Subset:
        whole = as_source(data.dataset)
        return None if whole is None else Part(whole, data.indices)
    return data if isinstance(data, BatchSource) else None


class ReadyBatches(Dataset):
    """A source as a loader's data set, whose answers are batches already.

    Args:
        source: Where batches come from.
    """

    def __init__(self, source: BatchSource) -> None:
        self.source = source
        self.epoch: int | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        self.source.set_epoch(self.epoch)
        return self.source[index]

    def __getitems__(self, indices: list[int]) -> Any:
        """The batch of these numbers."""
        return self.source.batch(indices, self.epoch)


class ReadyLoader(DataLoader):
    """A loader of the batches that a source makes, the next one while one is used.

    Args:
        source: Where batches come from.
        batch_size: Rows in a batch; `None` gives rows one by one.
        sampler: The order of the rows.
    """

    def __init__(self, source: BatchSource, batch_size: int | None, sampler: Sampler) -> None:
        ready = ReadyBatches(source)
        super().__init__(ready, batch_size=batch_size, sampler=sampler, collate_fn=_as_it_is)
        self.source = source

    def set_epoch(self, epoch: int) -> None:
        """Say which pass the next one is, which decides what is random in its batches."""
        self.dataset.epoch = epoch  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # Made here, since it draws a seed from torch's generator.
        batches = super().__iter__()
        return Ahead(batches) if self.source.runs_ahead else batches


def _as_it_is(batch: Any) -> Any:
    return batch
