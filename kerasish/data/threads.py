"""Threads that each run torch's kernels alone: several images at once, not parts of one."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


# More threads than this wait for Python's lock rather than decode.
_MOST = 16


def default_threads() -> int:
    """One for each core that this process may use; those of a machine are shared by its ranks."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1)
    return max(1, min(cores // max(ranks, 1), _MOST))


@contextmanager
def image_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads for the time of a block; what it has not begun at the end is dropped."""
    pool = start_threads(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def start_threads(count: int) -> ThreadPoolExecutor:
    """A pool whose threads run already, and within which torch starts no threads of its own."""
    before = torch.get_num_threads()
    all_there = threading.Barrier(count)

    def enter() -> None:
        torch.set_num_threads(1)
        all_there.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="kerasish-images")
    for future in [pool.submit(enter) for _ in range(count)]:
        future.result()
    # The number that a thread sets is also that of threads that torch starts later.
    torch.set_num_threads(before)
    return pool


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """The function's results one after the other, worked out at most so many ahead."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class Threads:
    """A pool that is started when it is first used, once in each process.

    Args:
        count: How many threads.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def map(self, function: Callable[[int], Any], count: int) -> list[Any]:
        """`[function(i) for i in range(count)]`, several at a time."""
        # A loader's worker process has a core to itself, as the loader sees it.
        if self.count == 1 or count < 2 or torch.utils.data.get_worker_info() is not None:
            return [function(i) for i in range(count)]
        if self._pool is None or self._process != os.getpid():
            # A process that was forked has a copy of the pool, but none of its threads.
            self._pool, self._process = start_threads(self.count), os.getpid()
        results: list[Any] = [None] * count
        rows, lock = iter(range(count)), threading.Lock()

        def work() -> None:
            # Each thread takes the next row as soon as it is free: images differ in size.
            while True:
                with lock:
                    row = next(rows, None)
                if row is None:
                    return
                results[row] = function(row)

        for future in [self._pool.submit(work) for _ in range(self.count)]:
            future.result()
        return results

    def __reduce__(self) -> tuple:
        return Threads, (self.count,)
