"""Where the time of training goes, and the one thing worth changing about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from kerasish.callbacks import CallbackList

PARTS = ("data", "step", "metrics", "callbacks", "validation")

# Shares of all the time above which a part is worth a word: the step itself never is.
_WORTH = {"data": 0.35, "metrics": 0.3, "callbacks": 0.25, "validation": 0.6}
_TOO_SHORT_TO_JUDGE = 3  # seconds


class Timings:
    """Seconds of one epoch by part; `data` is waiting for it.

    The loop adds to `step` itself; all of it costs a few clock readings a batch.
    """

    def __init__(self) -> None:
        self.data = self.step = self.metrics = self.callbacks = self.validation = 0.0

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Count the time that a block takes."""
        began = perf_counter()
        try:
            yield
        finally:
            setattr(self, part, getattr(self, part) + perf_counter() - began)

    @contextmanager
    def loop(self, device: torch.device) -> Iterator[None]:
        """Around the loop over an epoch's batches: what is spent on nothing else is waiting."""
        began, before = perf_counter(), self.step + self.metrics + self.callbacks
        yield
        if device.type == "cuda":
            # Steps are only started from here. That the device is still busy is the step's time.
            with self.within("step"):
                torch.cuda.synchronize(device)
        spent = self.step + self.metrics + self.callbacks - before
        self.data += max(0.0, perf_counter() - began - spent)

    def hook(self, callbacks: CallbackList, name: str) -> Callable[[int, Any], None] | None:
        """A hook of batches with its time counted, or `None` if no callback overrides it."""
        if not callbacks.overrides(name):
            return None
        call, clock = getattr(callbacks, name), perf_counter

        def timed(number: int, logs: Any) -> None:
            began = clock()
            call(number, logs)
            self.callbacks += clock() - began

        return timed

    def timed(self, part: str, function: Callable[[], Any]) -> Callable[[], Any]:
        """The function, with its time counted."""

        def call() -> Any:
            with self.within(part):
                return function()

        return call

    def as_dict(self) -> dict[str, float]:
        """Seconds by part."""
        return {part: getattr(self, part) for part in PARTS}


def advise(seconds: dict[str, list[float]], source: Any) -> str | None:
    """A sentence on the part that costs more than it should; `None` where all is well.

    Args:
        seconds: Seconds of each epoch by part.
        source: What `fit` was given as `x`.
    """
    totals = {part: sum(values) for part, values in seconds.items()}
    total = sum(totals.values())
    if total < _TOO_SHORT_TO_JUDGE:
        return None
    shares = {part: totals[part] / total for part in _WORTH if part in totals}
    costly = [part for part, share in shares.items() if share > _WORTH[part]]
    if not costly:
        return None
    part = max(costly, key=shares.__getitem__)
    return _SENTENCES[part](f"{shares[part]:.0%}", source)


def _about_data(share: str, source: Any) -> str:
    workers = max(2, min(8, (os.cpu_count() or 2) - 1))
    if isinstance(source, DataLoader) and source.num_workers:
        remedy = (
            f"give the DataLoader more than its {source.num_workers} workers, or store the "
            "samples in the form that training takes"
        )
    elif isinstance(source, DataLoader):
        remedy = f"give the DataLoader num_workers={workers}"
    elif isinstance(source, Dataset):
        remedy = f"pass DataLoader(dataset, batch_size, shuffle=True, num_workers={workers})"
    elif hasattr(source, "shape"):
        remedy = "use a larger batch_size, or keep the arrays in memory"
    else:
        remedy = f"make the samples a Dataset and pass DataLoader(dataset, num_workers={workers})"
    return f"Training waited for data {share} of the time: {remedy}."


_SENTENCES: dict[str, Callable[[str, Any], str]] = {
    "data": _about_data,
    "metrics": lambda share, source: (
        f"Metrics took {share} of the time: compute the costly ones in evaluate() only, or with a "
        "larger batch_size."
    ),
    "callbacks": lambda share, source: (
        f"Callbacks took {share} of the time: let them save, draw or read logs less often."
    ),
    "validation": lambda share, source: (
        f"Validation took {share} of the time: use a larger validation_batch_size, "
        "validation_steps, or validation_freq above 1."
    ),
}
