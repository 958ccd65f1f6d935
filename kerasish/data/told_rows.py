"""Rows read where somebody knows their numbers, such as layers in a data set."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

# What to do while rows are read, from their numbers and the number of the pass.
Telling = Callable[[list[int], int], AbstractContextManager]


class ToldRows(Dataset):
    """A data set that tells which rows it is about to read.

    Args:
        data: The data set.
        epoch: The number of the pass.
        telling: Makes the context in which rows are read.
    """

    def __init__(self, data: Any, epoch: int, telling: Telling) -> None:
        self.data, self.epoch, self.telling = data, epoch, telling

    def __len__(self) -> int:
        return len(self.data)

    def __getattr__(self, name: str) -> Any:
        # Code in a worker may look at the data set that it reads.
        if name.startswith("__") or "data" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}'.")
        return getattr(self.data, name)

    def __getitem__(self, number: int) -> Any:
        with self.telling([number], self.epoch):
            return self.data[number]


class _ToldTogether(ToldRows):
    """The same for a data set that can be asked for several rows at once."""

    def __getitems__(self, numbers: list[int]) -> Any:
        with self.telling(list(numbers), self.epoch):
            return self.data.__getitems__(numbers)


def telling_rows(loader: Any, epoch: int, telling: Telling) -> Any:
    """A loader that tells which rows of its data set it reads in the pass that it begins.

    The loader itself where it has a class of its own, rows without numbers, or workers that live
    on or show their data set to a function of the user's.
    """
    if type(loader) is not DataLoader or isinstance(loader.dataset, IterableDataset):
        return loader
    if loader.persistent_workers or (loader.num_workers and loader.worker_init_fn):
        return loader
    again, data = copy(loader), loader.dataset
    kind = _ToldTogether if getattr(data, "__getitems__", None) else ToldRows
    vars(again)["dataset"] = kind(data, epoch, telling)  # past the check that forbids it to users
    return again
