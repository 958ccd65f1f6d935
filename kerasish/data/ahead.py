"""Work done ahead: the next items of an iterator are made in a thread while one is used."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any, Generic, TypeVar

import torch

Item = TypeVar("Item")

# Seconds that a thread is given to finish the item it is at. One that waits for the disk or the
# network may be left behind; what it would bring is thrown away.
_PATIENCE = 5.0


class Ahead(Iterator[Item], Generic[Item]):
    """The items of an iterator, of which a thread makes some before they are asked for.

    What the iterator raises is raised, with its traceback, where the item would have come. The
    thread starts with the first item, and ends with the last one or when nobody wants more.

    Args:
        items: An iterator that may run in another thread.
        count: How many items wait at most.
        cores: How many threads a kernel of torch may use there; by default, as many as elsewhere.

    Example:
        >>> list(Ahead(iter("abc")))
        ['a', 'b', 'c']
    """

    def __init__(self, items: Iterator[Item], count: int = 2, *, cores: int | None = None) -> None:
        self._work = _Work(items, count, cores)

    def __next__(self) -> Item:
        return self._work.take()

    def peek(self) -> Item | None:
        """The next item, which stays the next one; `None` where there is none, or an error."""
        return self._work.peek()

    def close(self) -> None:
        """Stop the thread after the item it is at; there are no items any more."""
        self._work.stop()

    def __del__(self) -> None:
        # The thread knows the work, not this object: forgetting it is enough.
        if hasattr(self, "_work"):
            self._work.stop()


def in_thread_ahead() -> bool:
    """Whether this code is run by an iterator whose items are made ahead."""
    return threading.current_thread() in _running


def settle() -> None:
    """Wait until every thread has made all that it may, and rests until an item is taken.

    Raises:
        RuntimeError: If such a thread asks, which would wait for itself.
    """
    for thread, work in list(_running.items()):
        if thread is threading.current_thread():
            raise RuntimeError(
                "A source of batches that uses the model must not run ahead of the training of it. "
                "Give the source an attribute `runs_ahead = False`."
            )
        work.settle()


class _Work:
    """What the thread and the one who takes its items share."""

    def __init__(self, items: Iterator[Any], count: int, cores: int | None) -> None:
        self.items: Iterator[Any] | None = items
        self.count, self.cores = count, cores
        self.has_cores = threading.Event()
        self.ready: deque[Any] = deque()
        self.changed = threading.Condition()
        self.error: BaseException | None = None
        self.is_done = False
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        # NumPy's settings for errors and the like are those of the code that asks.
        run = copy_context().run
        self.thread = threading.Thread(
            target=run, args=(self.work,), daemon=True, name="kerasish-ahead"
        )
        _running[self.thread] = self
        before = torch.get_num_threads()
        self.thread.start()
        if self.cores is not None:
            # The number that a thread sets is also that of threads that torch starts later.
            self.has_cores.wait()
            torch.set_num_threads(before)

    def work(self) -> None:
        try:
            assert self.items is not None
            if self.cores is not None:
                torch.set_num_threads(self.cores)
                self.has_cores.set()
            for item in self.items:
                with self.changed:
                    self.ready.append(item)
                    del item  # or this thread would hold it until the next one is there
                    self.changed.notify_all()
                    self.changed.wait_for(lambda: self.is_done or len(self.ready) < self.count)
                    if self.is_done:
                        return
        except BaseException as error:
            self.error = error
        finally:
            # Here, so that a generator's own ending runs before anybody sees that all is done.
            self.items = None
            _running.pop(threading.current_thread(), None)
            with self.changed:
                self.is_done = True
                self.changed.notify_all()

    def wait(self) -> None:
        """Until there is an item, or there will be none."""
        with self.changed:
            if self.thread is None and not self.is_done:
                self.start()
            self.changed.wait_for(lambda: self.ready or self.is_done)

    def settle(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: len(self.ready) >= self.count or self.is_done)

    def peek(self) -> Any:
        self.wait()
        return self.ready[0] if self.ready else None

    def take(self) -> Any:
        self.wait()
        with self.changed:
            if self.ready:
                self.changed.notify_all()
                return self.ready.popleft()
        error, self.error = self.error, None
        if error is None:
            raise StopIteration
        try:
            raise error
        finally:
            del error

    def stop(self) -> None:
        with self.changed:
            self.is_done = True
            self.ready.clear()
            self.changed.notify_all()
        thread = self.thread
        if thread is None:
            self.items = None
        elif thread is not threading.current_thread():
            thread.join(_PATIENCE)


# Threads at work. Whoever asks what a thread is, asks from that thread.
_running: dict[threading.Thread, _Work] = {}


@atexit.register
def _stop_all() -> None:
    # Python kills threads that still run when it ends, and torch's kernels do not survive that.
    for work in list(_running.values()):
        work.stop()
