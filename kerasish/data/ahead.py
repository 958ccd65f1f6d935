"""Work done ahead: the next items of an iterator are made in a thread while one is used."""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")

_END = object()
# Threads at work, and what tells them to stop.
_running: dict[threading.Thread, threading.Event] = {}


def ahead(items: Iterator[Item], count: int = 1) -> Iterator[Item]:
    """The items, of which a thread makes up to `count` before they are asked for.

    What the iterator raises is raised where the item would have come. When the caller stops, the
    thread does so after the item it is at.

    Args:
        items: An iterator that may run in another thread.
        count: How many items wait at most.
    """
    ready: queue.Queue[Any] = queue.Queue(count)
    stopped = threading.Event()

    def work() -> None:
        try:
            for item in items:
                _put(ready, item, stopped)
                del item  # or this thread would hold it until the next one is there
                if stopped.is_set():
                    return
            _put(ready, _END, stopped)
        except BaseException as error:
            _put(ready, _Raised(error), stopped)

    thread = threading.Thread(target=work, daemon=True, name="kerasish-ahead")
    thread.start()
    _running[thread] = stopped
    try:
        while True:
            item = ready.get()
            if item is _END:
                return
            if isinstance(item, _Raised):
                raise item.error
            yield item
            del item
    finally:
        stopped.set()
        thread.join()
        _running.pop(thread, None)


class _Raised:
    """What the iterator raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _put(ready: queue.Queue, item: Any, stopped: threading.Event) -> None:
    """Wait for room, unless nobody will make any."""
    while not stopped.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return


@atexit.register
def _stop_all() -> None:
    # Python kills threads that still run when it ends, and torch's kernels do not survive that.
    for thread, stopped in list(_running.items()):
        stopped.set()
        thread.join()
