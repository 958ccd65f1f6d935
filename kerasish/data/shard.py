"""The part of the rows that one of several processes takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shard:
    """One process's part of a common order of rows.

    Every `count` batches of that order are one batch of all processes together: process 0 takes the
    first of them, process 1 the second, and so on. What is left at the end is parted evenly.

    Args:
        number: Which part, from 0.
        count: How many parts there are.
        fills: Whether a process that would have nothing left to do in the last batch takes one row
            all the same, so that all take equally many batches. Such a row must not count.

    Example:
        >>> [Shard(i, 2).pick(torch.arange(7), 2).tolist() for i in (0, 1)]
        [[0, 1, 4, 5], [2, 3, 6]]
    """

    number: int
    count: int
    fills: bool = False

    def pick(self, order: Tensor, batch_size: int) -> Tensor:
        """This process's rows, in the order in which it takes them."""
        whole = len(order) // (batch_size * self.count)
        end = whole * batch_size * self.count
        mine = order[:end].reshape(whole, self.count, batch_size)[:, self.number].reshape(-1)
        rest = order[end:].tensor_split(self.count)[self.number]
        if self.fills and end < len(order) and not len(rest):
            rest = order[:1]
        return torch.cat([mine, rest])

    def rows(self, num_samples: int, batch_size: int, batch: int) -> tuple[int, float]:
        """How many rows that count this process has in a batch, and the mean over all processes."""
        whole, left = divmod(num_samples, batch_size * self.count)
        if batch < whole:
            return batch_size, float(batch_size)
        return left // self.count + (self.number < left % self.count), left / self.count
