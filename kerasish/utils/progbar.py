"""Progbar: the progress line for loops that a script runs by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
from torch import Tensor

from kerasish.callbacks.progress_line import Status, duration, finished_lines
from kerasish.callbacks.screens import screen_for
from kerasish.describe import describe


class Progbar:
    """How far a loop is: a live line in a terminal or notebook, and one line when it is done.

    Where output is not live (a file, a pipe), and with `verbose=2`, only that last line is
    written. Values are averaged over the steps that they stand for; the last update shows its
    own values as they are.

    Args:
        target: Steps in all; `None` if unknown.
        width: Columns of the bar, where the line has room.
        verbose: 1 suits the output, 2 writes only the last line, 0 nothing.
        interval: Seconds between two drawings, at least.
        stateful_metrics: Names whose values are shown as they are, not averaged.
        stateless_metrics: Names to average, all others shown as they are.
        unit_name: What is counted. `"byte"` is written as kB, MB or GB.
        title: What the line begins with.
        initial: Steps that were done before.

    Raises:
        ValueError: If both lists of metrics are given, or `verbose` is none of these.

    Example:
        >>> bar = Progbar(3, verbose=0)
        >>> for step in range(3):
        ...     bar.add(1, values=[("loss", 0.5)])
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int | str = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
        *,
        title: str = "",
        initial: int = 0,
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Progbar: `stateful_metrics` and `stateless_metrics` were both given; one of them "
                "already says what all other names are."
            )
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"Progbar: `verbose` must be 0, 1 or 2, got {describe(verbose)}.")
        self.target, self.width, self.verbose, self.interval = target, width, verbose, interval
        self.stateful_metrics = None if stateful_metrics is None else set(stateful_metrics)
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self.unit_name, self.title = unit_name, title
        self._screen = screen_for(verbose)
        self._seen = self._initial = initial
        self._sums: dict[str, tuple[Any, int]] = {}
        self._began = perf_counter()
        self._first: tuple[int, float] | None = None
        self._due = 0.0

    def update(
        self,
        current: int,
        values: Iterable[tuple[str, Any]] | Mapping[str, Any] | None = None,
        finalize: bool | None = None,
    ) -> None:
        """Tell how far the loop is.

        Args:
            current: Steps done so far.
            values: Names and numbers of the steps since the last update, as pairs or a dict.
            finalize: Whether this is the last update; by default, when `target` is reached.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        self._take(values or (), max(current - self._seen, 1), finalize)
        self._seen = current
        now = perf_counter()
        if self.verbose == 0:
            return
        if finalize:
            self._screen.print(self._finished(now))
            self._screen.leave()
        elif self._screen.live and now >= self._due:
            self._screen.draw(self._status(now))
            self._due = perf_counter() + max(self.interval, self._screen.interval)
        if self._first is None and current > self._initial:
            self._first = (current, now)

    def add(
        self, n: int, values: Iterable[tuple[str, Any]] | Mapping[str, Any] | None = None
    ) -> None:
        """Tell that `n` more steps are done, with their values."""
        self.update(self._seen + n, values)

    def close(self) -> None:
        """End the live line as it is; for loops that stop early."""
        self._screen.leave()

    def _take(self, values: Any, steps: int, final: bool) -> None:
        for name, value in values.items() if isinstance(values, Mapping) else values:
            if isinstance(value, Tensor):
                value = value.detach()  # a sum would keep what all its terms were computed of
            if final or not self._is_averaged(name):
                self._sums[name] = (value, 1)
            else:
                total, count = self._sums.get(name, (0, 0))
                self._sums[name] = (total + value * steps, count + steps)

    def _is_averaged(self, name: str) -> bool:
        if self.stateless_metrics is not None:
            return name in self.stateless_metrics
        return name not in (self.stateful_metrics or ())

    def _means(self) -> list[tuple[str, Any]]:
        return [(name, _one_number(total, count)) for name, (total, count) in self._sums.items()]

    def _status(self, now: float) -> Status:
        left = None
        if self._seen > self._initial and self.target is not None:
            # The first step often costs more than all others; it is left out as soon as possible.
            first, then = self._first or (self._initial, self._began)
            left = (now - then) / max(self._seen - first, 1) * (self.target - self._seen)
        return Status(
            self.title,
            self._seen,
            self.target or None,
            now - self._began,
            left,
            self._means(),
            counted=self._counted(),
            widest=self.width,
        )

    def _finished(self, now: float) -> list[str]:
        took, done = now - self._began, self._seen - self._initial
        if self.unit_name == "byte":
            pace = f"{bytes_in_words(done / max(took, 1e-9))}/s"
        else:
            pace = f"{duration(took / max(done, 1))}/{self.unit_name}"
        title = f"{self.title}  " if self.title else ""
        head = f"{title}{self._counted(over=True)}  {duration(took)} {pace}"
        return finished_lines(head, self._means(), self._screen.width)[0]

    def _counted(self, over: bool = False) -> str:
        if self.unit_name == "byte":
            text = bytes_in_words(self._seen)
            return f"{text} of {bytes_in_words(self.target)}" if self.target and not over else text
        if self.target:
            return f"{self._seen:>{len(str(self.target))}}/{self.target}"
        return f"{self._seen} {self.unit_name}{'' if self._seen == 1 else 's'}"


def _one_number(total: Any, count: int) -> Any:
    if isinstance(total, str):
        return total
    try:
        return float(total) / max(count, 1)
    except (TypeError, ValueError, RuntimeError):
        return float(np.mean(total)) / max(count, 1)


def bytes_in_words(count: float) -> str:
    """A number of bytes with three digits or so.

    Example:
        >>> bytes_in_words(512), bytes_in_words(11_490_434), bytes_in_words(2.5e9)
        ('512 B', '11.5 MB', '2.5 GB')
    """
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95 or unit == "GB":
            break
    return f"{count:.1f} {unit}"
