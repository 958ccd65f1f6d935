"""The loops of fit, evaluate and predict: feed → step → metrics → callbacks."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import torch

from kerasish.callbacks import CallbackList
from kerasish.data.feed import Batch, Feed
from kerasish.training.outputs import Outputs, on_cpu
from kerasish.training.samples import told
from kerasish.training.step import Step
from kerasish.training.timings import Timings
from kerasish.training.tracker import LazyLogs, Tracker, to_number


class Passes:
    """A feed as an endless source of epochs, each `steps` batches long or one pass.

    With `steps`, an epoch goes on where the last one ended and starts the feed again when it is
    through. With `restarts` each epoch is the feed's beginning: a validation must see the same rows
    every time, and none twice. With `tells` augmentation layers get to know the samples, and so do
    the views of an evaluation.
    """

    def __init__(
        self,
        feed: Feed,
        steps: int | None = None,
        first_epoch: int = 0,
        restarts: bool = False,
        tells: bool = False,
    ) -> None:
        self.feed, self.steps = feed, steps
        self._tells = tells
        self._evaluates = restarts
        self._restarts = restarts and not getattr(feed, "is_one_shot", False)
        self._pass = first_epoch
        self._taken = 0  # batches of this pass, where passes are not epochs
        self._resumed_at = 0  # batches of the next epoch that an earlier run trained on
        self._endless: Iterator[Batch] | None = None
        self.window: int | None = None  # how many batches' results to keep, once that is known
        self.rest: Any = None  # from features to outputs, where the feed brings features

    @property
    def num_batches(self) -> int | None:
        """How many batches an epoch has, `None` if unknown."""
        known = self.feed.num_batches
        if self.steps is None or (self._restarts and known is not None and known < self.steps):
            return known
        return self.steps

    def next_epoch(self) -> Iterator[Batch]:
        """The batches of the next epoch."""
        first, self._resumed_at = self._resumed_at, 0
        self.feed.expect(None if self.steps is None else self.steps - first)
        if self.steps is None:
            self._pass += 1
            return self._batches(self._pass - 1)
        if self._restarts:
            return itertools.islice(self._batches(0), self.steps)
        if self._endless is None:
            self._endless = self._forever()
        return itertools.islice(self._endless, self.steps - first)

    def _batches(self, number: int) -> Iterator[Batch]:
        if not self._tells:
            return self.feed.batches(number)
        return told(self.feed, number, counts=self._evaluates)

    def _forever(self) -> Iterator[Batch]:
        while True:
            for batch in self._batches(self._pass):
                self._taken += 1
                yield batch
            if not self._taken or getattr(self.feed, "is_one_shot", False):
                return
            self._pass += 1
            self._taken = 0

    def close(self) -> None:
        """End what the feed does in the background."""
        self._endless = None
        self.feed.close()

    def position(self, batch: int) -> dict[str, Any]:
        """The place in the data after so many batches of an epoch, for `resume`."""
        number, taken = self._pass, self._taken
        if self.steps is None:
            number, taken = (number - 1, batch) if batch else (number, 0)
        feed, before = self.feed.state_dict(), self.feed.passes_before
        return {"pass": number, "before": before, "taken": taken, "batch": batch, "feed": feed}

    @property
    def reached(self) -> int:
        """How many passes the model was trained on by now, whole or in part, in all fits."""
        return self.feed.passes_before + self._pass + bool(self._taken)

    def switch(self, feed: Feed, rest: Any) -> None:
        """Go on at the same place in another feed of the same rows."""
        position = self.position(0)
        self.feed, self.rest = feed, rest
        self.resume(position)

    def resume(self, position: dict[str, Any]) -> None:
        """Let the next epoch begin at a place that `position` gave, perhaps in another process."""
        self._pass, self._taken = position["pass"], position["taken"]
        self._resumed_at = position["batch"]
        self._endless = None
        self.feed.passes_before = position["before"]
        self.feed.resume(self._pass, self._taken, position["feed"])


def train_epoch(
    model: Any,
    batches: Iterator[Batch],
    step: Step,
    tracker: Tracker,
    callbacks: CallbackList,
    timings: Timings,
    first: int = 0,
    may_stop: bool = True,
) -> int:
    """Train on every batch, counting from `first`. Returns the count.

    Without `may_stop` a wish to stop waits for the end: of several processes, one that left the
    loop alone would let the others wait forever.
    """
    kept, window = tracker.kept, tracker.window
    reduce, clock = timings.timed("metrics", tracker.reduce), perf_counter
    in_step = 0.0
    logs = LazyLogs(tracker.results)
    begin = timings.hook(callbacks, "on_train_batch_begin")
    end = timings.hook(callbacks, "on_train_batch_end")
    number = first - 1
    for number, (x, y, weight) in enumerate(batches, first):
        if begin is not None:
            begin(number, logs)
        began = clock()
        kept.append(step(x, y, weight))
        in_step += clock() - began
        if len(kept) >= window:
            reduce()
        if end is not None:
            end(number, logs)
        if model.stop_training and may_stop:
            break
    timings.step += in_step
    if hasattr(step, "finish"):
        step.finish()  # type: ignore[attr-defined]
    reduce()
    return number + 1


def test_epoch(
    batches: Iterator[Batch], step: Step, tracker: Tracker, callbacks: CallbackList
) -> int:
    """Evaluate every batch. Returns how many there were."""
    kept, window = tracker.kept, tracker.window
    logs = LazyLogs(tracker.results)
    begin = callbacks.on_test_batch_begin if callbacks.overrides("on_test_batch_begin") else None
    end = callbacks.on_test_batch_end if callbacks.overrides("on_test_batch_end") else None
    number = -1
    with torch.inference_mode():
        for number, (x, y, weight) in enumerate(batches):
            if begin is not None:
                begin(number, logs)
            kept.append(step(x, y, weight))
            if len(kept) >= window:
                tracker.reduce()
            if end is not None:
                end(number, logs)
        tracker.reduce()
    return number + 1


def custom_epoch(
    model: Any,
    batches: Iterator[Batch],
    kind: str,
    callbacks: CallbackList,
    timings: Timings | None = None,
    first: int = 0,
    may_stop: bool = True,
    feed: Feed | None = None,
    latest: dict[str, Any] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Hand every batch to the model's own `train_step` or `test_step`; see `train_epoch`.

    The feed that the batches are of says whether inputs without targets came in a tuple. `latest`
    is filled with what the last step returned, for a copy of the run to hold.

    Returns:
        How many batches there were, and the logs of the last.
    """
    step = getattr(model, f"{kind}_step")
    timings = timings or Timings()
    begin = timings.hook(callbacks, f"on_{kind}_batch_begin") or nothing
    end = timings.hook(callbacks, f"on_{kind}_batch_end") or nothing
    latest = {} if latest is None else latest
    logs = LazyLogs(lambda: latest)
    number = first - 1
    model._batch_step = None  # planned anew, since layers may have been frozen since
    constrained = None
    for number, batch in enumerate(batches, first):
        begin(number, logs)
        began = perf_counter()
        returned = step(as_data(batch, feed)) or {}
        latest.clear()
        latest.update(returned)
        if kind == "train":
            # After the first step, since some weights are made by it.
            if constrained is None:
                constrained = [w for w in model.keras_weights() if w.constraint is not None]
            for weight in constrained:
                if weight.trainable:
                    weight.constrain()
        timings.step += perf_counter() - began
        end(number, logs)
        if kind == "train" and model.stop_training and may_stop:
            break
    if model._batch_step is not None:
        model._batch_step.finish()
    return number + 1, {name: to_number(value) for name, value in latest.items()}


def nothing(number: int, logs: Any) -> None:
    """The hook that nobody has."""


def as_data(batch: Batch, feed: Feed | None = None) -> Any:
    """A batch as Keras hands it to `train_step`: `x`, `(x, y)` or `(x, y, sample_weight)`.

    Inputs without targets are in a tuple of one where they came so, or where several are listed.
    """
    x, y, weight = batch
    if weight is not None:
        return x, y, weight
    if y is not None:
        return x, y
    in_tuple = isinstance(x, (tuple, list)) or (feed is not None and feed.in_tuples)
    return (x,) if in_tuple else x


def predict_batches(
    batches: Iterator[Batch], step: Any, callbacks: CallbackList
) -> tuple[int, Any]:
    """Collect the outputs of every batch on the CPU. Returns their number, and them joined."""
    outputs = Outputs()
    begin, end = callbacks.on_predict_batch_begin, callbacks.on_predict_batch_end
    watched = callbacks.overrides("on_predict_batch_begin") or callbacks.overrides(
        "on_predict_batch_end"
    )
    with torch.inference_mode():
        for number, (x, _, _) in enumerate(batches):
            if not watched:
                outputs.add(step(x))
                continue
            begin(number, {})
            y_pred = on_cpu(step(x))
            outputs.add(y_pred)
            end(number, {"outputs": y_pred})
    return outputs.count, outputs.joined()


def warn_out_of_validation_data() -> None:
    """Say that a source that runs only once has nothing left to validate on."""
    warnings.warn(
        "fit: validation_data has run out; training goes on without validation. Pass something "
        "that can be read again (arrays, a Dataset or a list), not a generator.",
        stacklevel=4,
    )


def warn_out_of_data(steps: int | None, seen: int) -> None:
    """Say that a source that runs only once had fewer batches than asked for."""
    asked = "another epoch" if steps is None else f"{steps} steps"
    warnings.warn(
        f"fit: the data ran out after {seen} batches, but {asked} was asked for; training stops "
        "here. Pass something that can be read again (a Dataset or a list), not a generator.",
        stacklevel=4,
    )
