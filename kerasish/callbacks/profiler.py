"""Profiler: measures a few training steps with torch's profiler."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from kerasish.callbacks.base import Callback
from kerasish.callbacks.console import say
from kerasish.describe import describe


class Profiler(Callback):
    """Profiles training steps `start` to `start + steps - 1` and writes a trace.

    Args:
        log_dir: Where `trace.json` goes; open it in a browser at `chrome://tracing` or Perfetto.
            `None` writes nothing.
        start: First step measured, from 0, counted across epochs. Early steps warm up.
        steps: Number of steps measured.
        verbose: 1 prints the table of the operators that take longest.

    Attributes:
        profile: The finished `torch.profiler.profile`, `None` before.

    Raises:
        ValueError: If `start` is negative or `steps` not positive.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = "profile",
        *,
        start: int = 10,
        steps: int = 5,
        verbose: int = 1,
    ) -> None:
        if start < 0 or steps < 1:
            raise ValueError(
                "Profiler: `start` must be at least 0 and `steps` at least 1, "
                f"got {describe(start)} and {describe(steps)}."
            )
        self.log_dir = log_dir
        self.start = start
        self.steps = steps
        self.verbose = verbose
        self.profile: Any = None
        self._running: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.profile = None
        self._step = 0

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._step == self.start:
            activities = [torch.profiler.ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(torch.profiler.ProfilerActivity.CUDA)
            # Read once, at the end: no cycles of which the earlier ones are thrown away.
            self._running = torch.profiler.profile(activities=activities, acc_events=True)
            self._running.__enter__()
        self._step += 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._running is not None and self._step >= self.start + self.steps:
            self._finish()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._finish()

    def table(self, rows: int = 15) -> str:
        """The operators that take longest, as text.

        Raises:
            RuntimeError: If nothing was measured.
        """
        if self.profile is None:
            raise RuntimeError(
                f"Profiler: nothing was measured; training must run more than {self.start} steps."
            )
        key = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        return self.profile.key_averages().table(sort_by=key, row_limit=rows)

    def _finish(self) -> None:
        if self._running is None:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._running.__exit__(None, None, None)
        self.profile, self._running = self._running, None
        where = ""
        if self.log_dir is not None:
            path = Path(self.log_dir) / "trace.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            self.profile.export_chrome_trace(str(path))
            where = f"; trace in {path}"
        if self.verbose:
            say(f"Profiler: {self._step - self.start} steps measured{where}.\n{self.table()}")
