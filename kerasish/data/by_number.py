"""The batches of a source that makes them by number: one after another, or several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from kerasish.data.threads import image_threads, in_order


def batches_by_number(source: Any, numbers: Sequence[int]) -> Iterator[Any]:
    """Ask a source for batches, in the order of these numbers.

    A `PyDataset` with `workers` above 1 makes several at a time: in threads, or with
    `use_multiprocessing` in processes, which hold copies of it as it is now. `max_queue_size`
    batches wait at most.

    Args:
        source: Anything with `__getitem__`.
        numbers: Which batches.
    """
    workers = min(getattr(source, "workers", 1), len(numbers))
    waiting = max(getattr(source, "max_queue_size", 10), 1)
    if getattr(source, "use_multiprocessing", False):
        workers = max(workers, 1)
        each = max(waiting // workers, 1)
        yield from DataLoader(
            _Numbered(source),
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            prefetch_factor=each,
            collate_fn=_as_it_is,
        )
    elif workers > 1:
        with image_threads(workers) as pool:
            yield from in_order(pool, source.__getitem__, numbers, waiting)
    else:
        for number in numbers:
            yield source[number]


class _Numbered(Dataset):
    """What a loader's workers ask."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __getitem__(self, number: int) -> Any:
        return self.source[number]


def _as_it_is(batch: Any) -> Any:
    return batch
