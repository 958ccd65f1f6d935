"""Which rows a loader asks its data for: heard from its sampler, whatever that draws from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset


class Listener:
    """A batch sampler that passes another's batches on, and keeps the numbers in them.

    Args:
        batch_sampler: Gives a list of row numbers for each batch.
    """

    def __init__(self, batch_sampler: Any) -> None:
        self._batch_sampler = batch_sampler
        self._heard: deque[Any] | None = deque()

    def __iter__(self) -> Iterator[Any]:
        for rows in self._batch_sampler:
            if self._heard is not None:
                self._heard.append(rows)
            yield rows

    def __len__(self) -> int:
        return len(self._batch_sampler)

    def stop(self) -> None:
        """Keep nothing any more."""
        self._heard = None

    def next(self) -> Tensor | None:
        """The row numbers of the next batch; `None` where they are no integers."""
        rows = self._heard.popleft() if self._heard else None
        try:
            numbers = torch.as_tensor(rows)
        except (TypeError, ValueError, RuntimeError):
            return None
        is_row = numbers.dim() == 1 and not numbers.is_floating_point()
        return numbers.to(torch.int64) if is_row else None


def followed(loader: Any) -> tuple[Any, Listener | None]:
    """What to iterate over in the place of a loader, and what hears the rows of its batches.

    The loader itself where nobody can tell: where it has a class of its own, makes no batches of
    numbered rows, gives them out of order, or keeps workers that know their sampler already.
    """
    is_known = type(loader) is DataLoader and loader.batch_sampler is not None
    if not is_known or isinstance(loader.dataset, IterableDataset):
        return loader, None
    if loader.persistent_workers or not getattr(loader, "in_order", True):
        return loader, None
    again, listener = copy(loader), Listener(loader.batch_sampler)
    vars(again)["batch_sampler"] = listener  # past the check that forbids it to users
    return again, listener
