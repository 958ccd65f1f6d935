"""Whether a source's batches are made ahead of the step in a thread; and making them so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from kerasish.data.ahead import Ahead
from kerasish.data.feed import Batch
from kerasish.data.random_state import host_random_state
from kerasish.data.transfer import Transfer
from kerasish.random import globals_aside

_NONE_LEFT = object()
_NOTE = (
    "This batch was made ahead, in a thread. If the source must stay in the thread of fit, give it "
    "an attribute `runs_ahead = False`."
)


class Lookahead:
    """Batches on their way from a source to the step, one or two of them ahead in a thread.

    A source that says so (`runs_ahead = True`) may always run beside the step, one that says no
    never. Of others the first two batches of the first pass are made in turn, to see who draws
    random numbers or computes on the device. The rest is made ahead if the device copies by itself,
    the source leaves the device alone, and the step leaves the CPU's global generators to the
    source: so numbers cannot depend on which of the two is faster.

    Args:
        collect: Makes tensors of what the source yields.
        transfer: Brings them to the device.
        declared: What the source says.
        generators: Gives the generators of its own that the source draws from.

    Attributes:
        may: Whether batches are made ahead; `None` until that is known.
        left: How many more batches are going to be asked for; `None` for all there are.
    """

    def __init__(
        self,
        collect: Callable[[Any], Batch],
        transfer: Transfer,
        declared: bool | None,
        generators: Callable[[], list[torch.Generator]],
    ) -> None:
        self._collect, self._transfer, self._generators = collect, transfer, generators
        self._declared = declared
        self.may = False if declared is None and not transfer.overlaps else declared
        self.left: int | None = None
        self._running: Ahead[Any] | None = None
        self._before_end: dict[str, Any] = {}

    def batches(self, items: Iterator[Any]) -> Iterator[Batch]:
        """What the items become, in their order."""
        if self.may is None:
            yield from self._decide(items)
        elif self.may:
            # Here, since what begins a pass may draw a seed for it.
            yield from self._in_turn(items, 1)
        if not self.may:
            yield from self._in_turn(items, None)
            return
        self._transfer.open()
        while True:
            # No more than will be used: what a generator has given, it does not give again.
            asked = None if self.left is None else max(1, self.left)
            seen = 0
            for batch in self._ahead(itertools.islice(items, asked)):
                seen += 1
                yield batch
            if asked is None or seen < asked:
                return

    def _ahead(self, items: Iterator[Any]) -> Iterator[Batch]:
        # With one core, as a loader's worker has: kernels of two threads would wait for each other.
        running = self._running = Ahead(self._begin(items), cores=1)
        self._before_end = {}
        try:
            for _, moved, copied in running:
                self._note()
                yield self._transfer.end(moved, copied)
        finally:
            running.close()
            if self._running is running:
                self._running = None

    def _in_turn(self, items: Iterator[Any], count: int | None) -> Iterator[Batch]:
        for item in itertools.islice(items, count):
            self._note()
            yield self._transfer.send(self._collect(item))

    def _note(self) -> None:
        if self.left is not None:
            self.left -= 1

    def _decide(self, items: Iterator[Any]) -> Iterator[Batch]:
        """The first two batches; after them `may` is known."""
        for first in self._in_turn(items, 1):
            # Generators that a step puts aside, and back, are not left to the source either.
            made = host_random_state(), globals_aside.count
            yield first
            used = host_random_state(), globals_aside.count
            device = self._transfer.trace()
            item = next(items, _NONE_LEFT)
            if item is _NONE_LEFT:
                return
            self.may = _alike(made, used) and _alike(device, self._transfer.trace())
            yield from self._in_turn(iter([item]), 1)

    def _begin(self, items: Iterator[Any]) -> Iterator[tuple[dict[str, Any], Any, Any]]:
        """Copies that have begun, each with the random numbers as they were before its batch."""
        while True:
            before = self._random_state()
            try:
                item = next(items, _NONE_LEFT)
            except Exception as error:
                if not self._declared:
                    error.add_note(_NOTE)
                raise
            if item is _NONE_LEFT:
                self._before_end = before
                return
            yield before, *self._transfer.begin(self._collect(item))
            del item

    def _random_state(self) -> dict[str, Any]:
        if self._declared:
            return {}
        states = [generator.get_state() for generator in self._generators()]
        return {**host_random_state(), "generators": states}

    def random_state(self) -> dict[str, Any]:
        """The random numbers as they were before what has been made ahead was; `{}` if none was.

        Those of the CPU's global generators, and under `"generators"` the source's own.
        """
        running = self._running
        if running is None:
            return {}
        waiting = running.peek()
        return self._before_end if waiting is None else waiting[0]

    def close(self) -> None:
        """End the thread; what it has made is lost."""
        running, self._running = self._running, None
        if running is not None:
            running.close()


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        one, other = list(one.values()), list(other.values())
    if isinstance(one, (list, tuple)):
        return all(map(_alike, one, other))
    return torch.equal(one, other) if isinstance(one, Tensor) else one == other
