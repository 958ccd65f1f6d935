"""A base class for data that makes its own batches by number."""

from __future__ import annotations

from typing import Any


class PyDataset:
    """Batches by number: subclass, and define `__len__` (how many) and `__getitem__` (which).

    `fit` asks for the batches in a new order each epoch, or in theirs with `shuffle=False`, and
    calls `on_epoch_begin` before each pass and `on_epoch_end` after it, where a subclass may
    shuffle rows.

    Args:
        workers: How many batches are made at a time. Above 1, or with `use_multiprocessing`, random
            numbers that `__getitem__` draws depend on which worker comes first; those of
            augmentation layers do not.
        use_multiprocessing: Whether in processes, rather than in threads. Each has a copy of the
            data set as it is when a pass begins; on Windows and macOS a script then keeps what it
            does under `if __name__ == "__main__":`.
        max_queue_size: How many batches wait at most.

    Example:
        >>> class Numbers(PyDataset):
        ...     def __len__(self):
        ...         return 2
        ...
        ...     def __getitem__(self, index):
        ...         return [index * 10, index * 10 + 1]
        >>> list(Numbers())
        [[0, 1], [10, 11]]
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers, self.use_multiprocessing = workers, use_multiprocessing
        self.max_queue_size = max_queue_size

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__: its batch count.")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index).")

    def __iter__(self) -> Any:
        return (self[index] for index in range(len(self)))

    @property
    def num_batches(self) -> int:
        """How many batches a pass has."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before each pass."""

    def on_epoch_end(self) -> None:
        """Called after each pass."""
