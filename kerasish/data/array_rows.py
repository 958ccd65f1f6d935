"""Rows of arrays in memory, read by their numbers, and replaced by what was made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from kerasish.data.feed import ArrayFeed, Batch


class ArrayRows:
    """Rows of a feed of arrays, read by their numbers: inputs only.

    Args:
        feed: The feed.

    Attributes:
        count: How many there are.
        size: Rows in a full batch.
        short: Rows in the last batch of a pass where it is not full, else 0.
        is_fixed: Whether they are the same whenever they are read.
    """

    is_fixed: bool | None = True

    def __init__(self, feed: ArrayFeed) -> None:
        assert feed.num_samples is not None
        assert feed.batch_size is not None
        self.feed, self.count = feed, feed.num_samples
        self.size = min(feed.batch_size, self.count)
        self.short = self.count % self.size

    def read(self, rows: Tensor) -> Batch:
        """The rows of these numbers, without targets."""
        return self.feed.inputs(rows), None, None

    def read_all(self, orders: list[Tensor]) -> Iterator[Batch]:
        """A batch for each list of numbers."""
        return map(self.read, orders)

    def forget(self) -> None:
        """Nothing goes on that others have begun."""

    def replaced(
        self, columns: Batch, device: torch.device, short: Callable[[Any], Any] | None
    ) -> FeatureFeed:
        """The feed with a column in the place of its inputs."""
        return FeatureFeed(self.feed, columns[0], short)


class FeatureFeed(ArrayFeed):
    """Batches of features in the place of another feed's inputs, in the same order.

    Args:
        feed: The feed whose targets, weights and order are taken over.
        features: One row for each of its rows; a tensor or a tuple of them.
        short: Computes the features of a last, short batch anew, if kernels for a few rows round
            differently from those that made the features.
    """

    def __init__(
        self, feed: ArrayFeed, features: Any, short: Callable[[Any], Any] | None = None
    ) -> None:
        vars(self).update(vars(feed))
        self._raw, self._short = feed, short
        self._set(features, *feed._structure[1:])

    def order(self, epoch: int) -> Tensor:
        """The order of rows in an epoch."""
        # Always gathered: a batch then begins at an even address and may be changed in place.
        return self._sampler.order(epoch)

    def _chunk_rows(self, order: Tensor | None) -> int:
        assert self.batch_size is not None
        return self.batch_size

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One pass over the rows."""
        taken = self._taken
        batches = super().batches(epoch)
        return batches if self._short is None else self._with_short(batches, taken, epoch)

    def _with_short(self, batches: Iterator[Batch], taken: int, epoch: int) -> Iterator[Batch]:
        assert self.batch_size is not None
        assert self.num_batches is not None
        assert self._short is not None
        for number, batch in enumerate(batches, taken):
            if number < self.num_batches - 1:
                yield batch
            else:
                rows = self.order(epoch)[number * self.batch_size :]
                yield (self._short(self._raw.inputs(rows)), *batch[1:])
