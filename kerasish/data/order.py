"""The order of rows in an epoch, from a seed and the epoch's number alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from kerasish.data.shard import Shard


class EpochSampler(Sampler):
    """The order of rows in each epoch.

    Args:
        count: How many rows there are.
        shuffle: Whether to draw a new order each epoch; `"batch"` shuffles whole batches.
        seed: With the epoch's number, decides the order.
        batch_size: Rows in a batch.
        shard: The part of the rows that this process takes, where several train together.

    Attributes:
        epoch: The one that is iterated over next.
        first: How many of its rows to leave out.
    """

    def __init__(
        self,
        count: int,
        shuffle: bool | str,
        seed: int,
        batch_size: int = 1,
        shard: Shard | None = None,
    ) -> None:
        self.count, self.shuffle, self.seed = count, shuffle, seed
        self.batch_size, self.shard = batch_size, shard
        self.epoch = self.first = 0
        self._latest: tuple[int, int, Tensor] | None = None  # the latest order, after seed, epoch

    def __iter__(self) -> Iterator[int]:
        first, self.first = self.first, 0
        return iter(self.order(self.epoch)[first:].tolist())

    def __len__(self) -> int:
        return self.count if self.shard is None else len(self._mine(torch.arange(self.count)))

    @property
    def is_given(self) -> bool:
        """Whether each epoch has all rows in the order in which they are."""
        return not self.shuffle and self.shard is None

    def order(self, epoch: int) -> Tensor:
        """The order of this process's rows in an epoch."""
        # Asked for twice where rows are numbered for augmentation layers.
        if self._latest is None or self._latest[:2] != (self.seed, epoch):
            self._latest = self.seed, epoch, self._mine(self._common(epoch))
        return self._latest[2]

    def _mine(self, order: Tensor) -> Tensor:
        return order if self.shard is None else self.shard.pick(order, self.batch_size)

    def _common(self, epoch: int) -> Tensor:
        """The order that all processes share."""
        rows = torch.arange(self.count)
        if not self.shuffle:
            return rows
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        if self.shuffle != "batch":
            return torch.randperm(self.count, generator=generator)
        # A short last batch stays last, or all batches after it would begin in the wrong place.
        whole = self.count - self.count % self.batch_size
        starts = torch.randperm(whole // self.batch_size, generator=generator) * self.batch_size
        shuffled = (starts.unsqueeze(1) + rows[: self.batch_size]).flatten()
        return torch.cat([shuffled, rows[whole:]])


def mix_seed(seed: int, epoch: int) -> int:
    """A seed for an epoch: near seeds and near epochs give unrelated numbers."""
    # The multipliers are those of SplitMix64 (Steele, Lea and Flood, 2014).
    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    mixed = ((mixed ^ (mixed >> 30)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (mixed ^ (mixed >> 31)) & (2**63 - 1)
