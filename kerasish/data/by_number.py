"""The batches of a source that makes them by number: one after another, or several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader

from kerasish.data.threads import image_threads, in_order


def batches_by_number(source: Any, numbers: Sequence[int], asked: Any = None) -> Iterator[Any]:
    """Ask a source for batches, in the order of these numbers.

    A `PyDataset` with `workers` above 1 makes several at a time: in threads, or with
    `use_multiprocessing` in processes, which hold copies of it as it is now. `max_queue_size`
    batches wait at most.

    Args:
        source: Anything with `__getitem__`.
        numbers: Which batches.
        asked: What to ask in the place of the source, such as one that tells which is read.
    """
    asked = source if asked is None else asked
    workers = min(getattr(source, "workers", 1), len(numbers))
    waiting = max(getattr(source, "max_queue_size", 10), 1)
    if getattr(source, "use_multiprocessing", False):
        workers = max(workers, 1)
        each = max(waiting // workers, 1)
        yield from DataLoader(
            asked,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            prefetch_factor=each,
            collate_fn=_as_it_is,
        )
    elif workers > 1:
        with image_threads(workers) as pool:
            yield from in_order(pool, asked.__getitem__, numbers, waiting)
    else:
        for number in numbers:
            yield asked[number]


def _as_it_is(batch: Any) -> Any:
    return batch
