"""What a callback asks of a model in the middle of training leaves the training as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from kerasish.data.ahead import settle
from kerasish.modes import kept_modes
from kerasish.training.memory import all_freed_memory_kept
from kerasish.training.resume import load_metrics, metric_state, metrics_of


@contextmanager
def fitting(model: Any) -> Iterator[None]:
    """Around a run of `fit`."""
    before = model.__dict__.get("_is_fitting", False)
    model.__dict__["_is_fitting"] = True
    try:
        with _memory_for(model):
            yield
    finally:
        model.__dict__["_is_fitting"] = before


@contextmanager
def aside(model: Any) -> Iterator[None]:
    """Around `evaluate` and `predict`, which put a model into evaluation mode and reset metrics.

    Within a fit, modes and metrics are put back: training goes on as if nothing had been asked.
    """
    if not model.__dict__.get("_is_fitting"):
        with _memory_for(model):
            yield
        return
    settle()  # what is evaluated may be the data that are being read
    metrics = metrics_of(model)
    states = [metric_state(metric) for metric in metrics]
    try:
        with kept_modes(model):
            yield
    finally:
        load_metrics(metrics, states)


def _memory_for(model: Any) -> AbstractContextManager[None]:
    first = next(model.parameters(), None)
    is_here = first is not None and first.device.type == "cpu"
    return all_freed_memory_kept() if is_here else nullcontext()
