"""A run: what one call of `fit` does, epoch after epoch."""

from __future__ import annotations

from typing import Any

from kerasish.callbacks import CallbackList
from kerasish.callbacks.console import say
from kerasish.layers.augmentation.draws import seeing
from kerasish.training import loop, parallel, resume
from kerasish.training.averaging import Averaging
from kerasish.training.cache import FrozenCache
from kerasish.training.guards import validating
from kerasish.training.placement import target_device
from kerasish.training.plan import StepPlan
from kerasish.training.step import make_train_step
from kerasish.training.timings import Timings, advise
from kerasish.training.tracker import Tracker


class Run:
    """One call of `fit`.

    Args:
        model: The compiled model.
        plan: What its steps have in common; `None` where the model has a `train_step` of its own.
        tracker: The running means of loss and metrics; `None` likewise.
        passes: The training data.
        validation: The validation data, or `None`.
        validation_freq: Validate every so many epochs, or in the epochs listed (from 1).
        listeners: The callbacks.
        cache_frozen: `"auto"` or `True` to train on features of a frozen first part.
        speak: Whether to say so.

    Attributes:
        logs: Those of the last finished epoch.
    """

    def __init__(
        self,
        model: Any,
        plan: StepPlan | None,
        tracker: Tracker | None,
        passes: loop.Passes,
        validation: loop.Passes | None,
        validation_freq: Any,
        listeners: CallbackList,
        cache_frozen: Any = False,
        speak: bool = False,
    ) -> None:
        self.model, self.plan, self.tracker = model, plan, tracker
        self.is_shared = parallel.is_shared(model._recipe.data_parallel)
        if plan is not None:
            plan.feed = passes.feed
        self.passes, self.validation = passes, validation
        self.validation_freq, self.listeners = validation_freq, listeners
        self.logs: dict[str, Any] = {}
        self.latest: dict[str, Any] = {}  # what a train_step of the model's own returned
        self.timings = Timings()
        self.step: Any = None
        self.is_finished = False
        self.learning: set[int] | None = learning_of(model)
        self.epochs = 0
        self.cache = self.validation_cache = None
        if cache_frozen and plan is not None:
            self.cache = FrozenCache(plan, passes, cache_frozen, training=True, speak=speak)
            if validation is not None and not model._tests_itself:
                self.validation_cache = FrozenCache(
                    plan, validation, cache_frozen, training=False, speak=speak
                )

    def train(self, initial_epoch: int, epochs: int) -> None:
        """Train until the last epoch, the end of the data, or `model.stop_training`."""
        self.epochs = epochs
        keeper = resume.keeper_of(self.listeners)
        backup = None if keeper is None else resume.read(keeper, self)
        self.listeners.on_train_begin()
        if self.plan is not None and self.tracker is not None:
            x, y, _ = self.passes.feed.peek()
            self.tracker.size_window(x, y)
            self.step = make_train_step(self.plan)
        if backup is not None:
            initial_epoch = backup.epoch
            backup.restore_model(self)
            if not backup.batch:
                backup.restore_position(self)
        elif keeper is not None:
            keeper.save(initial_epoch, 0)
        for epoch in range(initial_epoch, epochs):
            if self.model.stop_training:
                break
            logs = self.run_epoch(epoch, backup)
            if logs is None:
                break
            self.logs, backup = logs, None
            if self.is_shared:
                self.model.stop_training = parallel.any_process(self.model.stop_training)
            if keeper is not None:
                keeper.save_epoch(epoch)
        self.is_finished = True

    def close(self) -> None:
        """End what goes on in the background."""
        self.passes.close()
        if self.validation is not None:
            self.validation.close()

    def run_epoch(self, epoch: int, backup: resume.Backup | None = None) -> dict[str, Any] | None:
        """One epoch and its validation, perhaps from where a backup was made in it.

        Returns:
            Its logs, `None` when the data has run out.
        """
        timings = self.timings = Timings()
        self.model.reset_metrics()
        self.model.train()
        with timings.within("callbacks"):
            self.listeners.on_epoch_begin(epoch)
        self.follow_freezing()
        if self.cache is not None and (backup is None or not backup.batch):
            with timings.within("step"):
                self.cache.refresh(self.epochs - epoch)
        if self.plan is not None and self.tracker is not None:
            self.plan.rest = self.passes.rest
            # Planned anew for each epoch, so that callbacks may freeze layers or add hooks.
            self.step = make_train_step(self.plan)
        self.latest = {}
        first = 0 if backup is None else backup.batch
        if backup is not None and first:
            # What the epoch's beginning has just done was done, and gone on from, before.
            backup.restore_model(self)
            backup.restore_position(self)
        seen, logs = self.train_batches(first)
        passes = self.passes
        is_short = passes.steps is not None and seen < passes.steps
        if seen == 0 or (is_short and not self.model.stop_training):
            loop.warn_out_of_data(passes.steps, seen)
            self.model.stop_training = True
            if seen == 0:
                return None
        if self.validation is not None and _is_due(self.validation_freq, epoch):
            with timings.within("validation"), validating(self.validation.feed.batch_size):
                if self.validation_cache is not None:
                    due = [_is_due(self.validation_freq, e) for e in range(epoch, self.epochs)]
                    self.validation_cache.refresh(sum(due))
                held = self.model._run_test(self.validation, self.listeners)
            logs |= {f"val_{name}": value for name, value in held.items()}
            if not held:
                loop.warn_out_of_validation_data()
                self.validation = None
        # A callback that calls the model here asks what it has learned, with or without validation.
        self.model.eval()
        history = self.listeners.history
        with timings.within("callbacks"):
            try:
                self.listeners.on_epoch_end(epoch, logs)
            except BaseException:
                # The epoch was trained, whatever a callback makes of it.
                if history.epoch[-1:] != [epoch]:
                    history.on_epoch_end(epoch, logs)
                raise
        self.model.optimizer.on_epoch_end(logs)
        history.add_seconds(timings.as_dict())
        return logs

    def follow_freezing(self) -> None:
        """Let the optimizer take up what a callback thawed, and leave what it froze."""
        learning = learning_of(self.model)
        if learning != self.learning and self.model.optimizer.torch is not None:
            self.model._bind_optimizer()
        self.learning = learning

    def train_batches(self, first: int) -> tuple[int, dict[str, Any]]:
        """Train on an epoch's batches from the first on. Returns their count, and the logs."""
        model, tracker, timings = self.model, self.tracker, self.timings
        batches = self.passes.next_epoch()
        with timings.loop(target_device(model, model._recipe)), seeing(None):
            if self.plan is None or tracker is None:
                return self._custom_epoch(batches, first)
            seen = loop.train_epoch(
                model,
                batches,
                self.step,
                tracker,
                self.listeners,
                timings,
                first,
                not self.is_shared,
            )
        with timings.within("metrics"):
            if self.is_shared:
                tracker.merge_processes()
            return seen, {k: loop.to_number(v) for k, v in tracker.results().items()}

    def _custom_epoch(self, batches: Any, first: int) -> tuple[int, dict[str, Any]]:
        feed, latest = self.passes.feed, self.latest
        rest = "train", self.listeners, self.timings, first, not self.is_shared, feed, latest
        if not self.is_shared:
            return loop.custom_epoch(self.model, batches, *rest)
        averaging = Averaging(self.model, feed)
        with averaging.attached():
            batches = averaging.checked(batches)
            seen, logs = loop.custom_epoch(self.model, batches, *rest)
            return seen, averaging.merged(logs)

    def capture(self, epoch: int, batch: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The state before a batch of an epoch, as documents and tensors of an archive."""
        return resume.capture(self, epoch, batch)

    def advise(self, source: Any, *, speak: bool) -> None:
        """Leave the one thing worth changing in the history, and perhaps say it."""
        history = self.listeners.history
        history.advice = advise(history.seconds, source)
        if history.advice and speak:
            say(history.advice)


def learning_of(model: Any) -> set[int]:
    """Which parameters training changes."""
    return {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


def _is_due(validation_freq: Any, epoch: int) -> bool:
    if isinstance(validation_freq, int):
        return (epoch + 1) % validation_freq == 0
    return epoch + 1 in validation_freq
