"""Batches made from files or arrays, in an order that a seed and the epoch decide."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch

from kerasish.data.batch_source import BatchSource, ReadyLoader
from kerasish.data.order import EpochSampler
from kerasish.describe import describe
from kerasish.layers.augmentation.draws import layers_by_sample, reading


class EpochOrder(EpochSampler):
    """The order of rows: as given, or drawn anew each epoch from the seed and the epoch's number.

    Without anybody calling `set_epoch`, each pass is taken for the next epoch.
    """

    def __init__(self, count: int, shuffle: bool, seed: int | None) -> None:
        super().__init__(count, shuffle, torch.initial_seed() % 2**31 if seed is None else seed)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass belongs to."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rows = super().__iter__()
        self.epoch += 1
        return rows


class Batches(ReadyLoader):
    """A `DataLoader` of ready batches, with the few words of `tf.data` that Keras scripts use.

    Args:
        source: Where batches come from.
        batch_size: Rows in a batch; `None` gives rows one by one.
        shuffle: Whether rows come in a new order each epoch.
        seed: Makes the orders repeat; drawn from torch's by default.

    Raises:
        TypeError: If the source is none, such as a list or a `TensorDataset`.

    Attributes:
        class_names: Names of the classes, in the order of their numbers, where there are any.
        class_counts: How many rows each class has, where there are any.
        file_paths: The files behind the rows, where there are any.
    """

    class_names: list[str] | None = None
    class_counts: dict[str, int] | None = None
    file_paths: list[str] | None = None

    def __init__(
        self,
        source: BatchSource,
        *,
        batch_size: int | None = 32,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> None:
        if not isinstance(source, BatchSource):
            raise TypeError(
                "Batches: `source` must make batches itself, as packed images do, got "
                f"{describe(source)}. Give other data sets to a DataLoader, or to fit."
            )
        order = EpochOrder(len(source), shuffle, seed)
        super().__init__(source, batch_size, order)
        self.functions: tuple[Callable, ...] = ()
        self.limit: int | None = None

    def __iter__(self) -> Iterator[Any]:
        # What is random in a batch, like the order, depends on the pass alone.
        epoch = self.sampler.epoch  # type: ignore[attr-defined]
        self.set_epoch(epoch)
        batches = super().__iter__()
        if self.functions and layers_by_sample.any:
            batches = self._changed_by_sample(batches, epoch)
        elif self.functions:
            batches = (batch if batch is None else self._changed(batch) for batch in batches)
        return itertools.islice((batch for batch in batches if batch is not None), self.limit)

    def _changed_by_sample(self, batches: Iterator[Any], epoch: int) -> Iterator[Any]:
        """The batches, changed where augmentation layers know which rows they hold."""
        rows = self.sampler.order(epoch).tolist()  # type: ignore[attr-defined]
        size = self.batch_size or 1
        for first, batch in zip(itertools.count(step=size), batches, strict=False):
            if batch is not None:
                with reading(rows[first : first + size], epoch):
                    batch = self._changed(batch)
                yield batch

    def _changed(self, batch: Any) -> Any:
        for function in self.functions:
            batch = function(*batch) if isinstance(batch, tuple) else function(batch)
        return batch

    def __len__(self) -> int:
        return super().__len__() if self.limit is None else min(self.limit, super().__len__())

    @property
    def holds_pixels(self) -> bool:
        """Whether images come with values from 0 to 255; who maps a function over them decides."""
        source = self.dataset.source  # type: ignore[attr-defined]
        return getattr(source, "holds_pixels", False) and not self.functions

    def map(self, function: Callable, num_parallel_calls: Any = None) -> Batches:
        """The same batches, each passed through `function(x, y)` as it is read."""
        mapped = copy.copy(self)
        mapped.functions = (*self.functions, function)
        return mapped

    def take(self, count: int) -> Batches:
        """The first `count` batches of each pass."""
        taken = copy.copy(self)
        taken.limit = count if self.limit is None else min(count, self.limit)
        return taken

    def prefetch(self, buffer_size: Any = None) -> Batches:
        """These batches as they are: `fit` fetches ahead by itself."""
        return self

    def cache(self, filename: Any = None) -> Batches:
        """These batches as they are, read and drawn anew in each pass, not kept in memory."""
        return self

    def cardinality(self) -> int:
        """How many batches a pass has."""
        return len(self)
