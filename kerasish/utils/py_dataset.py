"""A base class for data that makes its own batches by number."""

from __future__ import annotations

import warnings
from typing import Any


class PyDataset:
    """Batches by number: subclass, and define `__len__` (how many) and `__getitem__` (which).

    `fit` asks for the batches in a new order each epoch, or in theirs with `shuffle=False`, and
    calls `on_epoch_end` after each pass, where a subclass may shuffle rows.

    Args:
        workers: Kept for Keras's sake: batches are made one after another. For reading in
            parallel use a `torch.utils.data.DataLoader` with `num_workers`.
        use_multiprocessing: Likewise.
        max_queue_size: Likewise.

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
        if workers > 1 or use_multiprocessing:
            warnings.warn(
                f"{type(self).__name__}: `workers` and `use_multiprocessing` have no effect; wrap "
                "a torch Dataset in a DataLoader with num_workers to read in parallel.",
                stacklevel=2,
            )

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

    def on_epoch_end(self) -> None:
        """Called after each pass."""
