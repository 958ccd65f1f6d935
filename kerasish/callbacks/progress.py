"""ProgressBar: shows how far training, evaluation or prediction is."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import math
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from kerasish.callbacks import console
from kerasish.callbacks.base import Callback, is_main_process
from kerasish.callbacks.progress_line import Status, duration, finished_lines
from kerasish.callbacks.screens import PlainScreen, screen_for
from kerasish.describe import describe


class ProgressBar(Callback):
    """A live line while an epoch runs, and one clean line when it is done.

    In a terminal and in a notebook the line is redrawn at most ten times a second, and the logs
    are read from the device only then. Elsewhere, and with `verbose=2`, there is one plain line an
    epoch.

    Args:
        verbose: `"auto"` and 1 suit the output, 2 writes plain lines, 0 nothing.

    Raises:
        ValueError: If `verbose` is none of these.
    """

    def __init__(self, verbose: int | str = "auto") -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(
                f'ProgressBar: `verbose` must be "auto", 0, 1 or 2, got {describe(verbose)}.'
            )
        self.verbose = verbose
        self._screen = PlainScreen()
        self._held: console.Held | None = None
        self._fitting = False
        self._due = math.inf
        self._style = 0
        self._quiet = True

    # Training

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._fitting = True
        self._steps_seen: int | None = None
        self._open()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        epochs = self.params.get("epochs")
        number = epoch + 1
        title = f"Epoch {number:>{len(str(epochs))}}/{epochs}" if epochs else f"Epoch {number}"
        self._start(title, self.params.get("steps") or self._steps_seen)
        self._training_seconds = 0.0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Runs at every step: nothing here but a counter and a look at the clock.
        self._done = batch + 1
        self._now = perf_counter()
        if self._now >= self._due:
            self._draw(logs)

    def before_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Wipe the live line, so that what other callbacks print stands alone."""
        self._training_over()
        self._screen.clear()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._training_over()
        self._steps_seen = self._trained
        self._finish(logs, self._trained, self._training_seconds)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._fitting = False
        self._close()

    # Evaluation, by itself or as an epoch's validation, and prediction

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._fitting:
            self._training_over()
            self._prefix = "val_"
            self._restart(f"{self._title} validation", self.params.get("validation_steps"))
        else:
            self._open()
            self._start("Evaluate", self.params.get("steps"))

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._done = batch + 1
        self._now = perf_counter()
        if self._now >= self._due:
            self._draw(logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self._fitting:
            self._finish_alone(logs)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._open()
        self._start("Predict", self.params.get("steps"))

    def on_predict_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._done = batch + 1
        self._now = perf_counter()
        if self._now >= self._due:
            self._draw(None)  # the outputs are in these logs: nothing to print

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._finish_alone(None)

    # How it is done

    def _open(self) -> None:
        self._close()
        self._screen = screen_for(self.verbose)
        self._due = 0.0
        self._quiet = self.verbose == 0 or not is_main_process()
        if not self._quiet:
            self._held = console.hold()

    def _close(self) -> None:
        """End on a fresh line, whatever happened, and let the held messages out."""
        self._screen.leave()
        self._due = math.inf
        if self._held is not None:
            self._screen.print(self._taken())
            console.release(self._held)
            self._held = None

    def _taken(self) -> list[str]:
        taken = list(self._held or ())
        if self._held:
            self._held.clear()
        return taken

    def _start(self, title: str, total: int | None) -> None:
        self._title = title
        self._began = perf_counter()
        self._prefix = ""
        self._trained: int | None = None
        self._restart(title, total)

    def _restart(self, title: str, total: int | None) -> None:
        self._line_title, self._total, self._done = title, total, 0
        self._line_began = self._now = perf_counter()
        self._first: tuple[int, float] | None = None
        if self._now >= self._due:
            self._draw(None)

    def _training_over(self) -> None:
        if self._fitting and self._trained is None:
            self._trained, self._training_seconds = self._done, self._now - self._line_began

    def _draw(self, logs: Mapping[str, Any] | None) -> None:
        if self._quiet:
            self._due = math.inf
            return
        if self._held:
            self._screen.print(self._taken())
        if self._screen.live:
            self._screen.draw(self._status(logs))
        # Counted from after the drawing, so that a slow terminal cannot fill the time.
        self._due = perf_counter() + self._screen.interval

    def _status(self, logs: Mapping[str, Any] | None) -> Status:
        elapsed = self._now - self._line_began
        if self._total is not None and self._done > self._total:
            self._total = None
        left = None
        if self._done and self._total is not None:
            # The first step often costs more than all others; it is left out as soon as possible.
            if self._first is None:
                self._first = (self._done, self._now)
            steps, since = self._done - self._first[0], self._now - self._first[1]
            pace = since / steps if steps else elapsed / self._done
            left = pace * (self._total - self._done)
        values = [(self._prefix + name, value) for name, value in (logs or {}).items()]
        return Status(self._line_title, self._done, self._total, elapsed, left, values)

    def _finish(self, logs: Mapping[str, Any] | None, steps: int | None, seconds: float) -> None:
        if self._quiet:
            return
        total = perf_counter() - self._began
        head = f"{self._title}  {duration(total)}"
        if steps:
            head += f" {duration(seconds / steps)}/step"
        values = list((logs or {}).items())
        lines, self._style = finished_lines(head, values, self._screen.width, self._style)
        self._screen.print(lines + self._taken())

    def _finish_alone(self, logs: Mapping[str, Any] | None) -> None:
        # Ended early by an error: the line stays as it was.
        if self._total is None or self._done >= self._total:
            self._title += f"  {self._done} {'step' if self._done == 1 else 'steps'}"
            self._finish(logs, self._done, self._now - self._line_began)
        self._close()
