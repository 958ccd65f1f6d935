"""Trainer: the verbs of a model. `compile` decides; `fit`, `evaluate` and `predict` follow."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import torch

from kerasish import optimizers
from kerasish.callbacks import BackupAndRestore, CallbackList
from kerasish.data import Feed, make_feed, split_tail
from kerasish.data.arrays import map_leaves
from kerasish.training import loop, parallel
from kerasish.training.aside import aside, fitting
from kerasish.training.cache import check_cache_frozen
from kerasish.training.feeding import Feeding
from kerasish.training.guards import guarded
from kerasish.training.on_batch import OnBatch
from kerasish.training.placement import device_of, place_model, target_device
from kerasish.training.plan import StepPlan
from kerasish.training.planned import fit_inputs
from kerasish.training.recipe import Recipe
from kerasish.training.run import Run
from kerasish.training.samples import draws_by_sample
from kerasish.training.session import (
    as_numpy,
    check_count,
    final_logs,
    frequency,
    random_state_kept_on_error,
    warn_without_effect,
)
from kerasish.training.step import make_predict_step, make_test_step
from kerasish.training.tracker import Tracker
from kerasish.tta.bound import bind_views, views_of


class Trainer(Feeding, OnBatch):
    """Adds `compile`, `fit`, `evaluate`, `predict` and their relatives to a torch module.

    Override `train_step(self, data)`, `test_step`, `predict_step` or `compute_loss` to change what
    happens to a batch and keep everything around it.
    """

    # Training

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        *,
        resume: str | os.PathLike[str] | None = None,
        cache_frozen: bool | str = "auto",
    ) -> Any:
        """Train the model.

        Args:
            x: Inputs in memory (array, tensor, frame; a list or dict of them for several inputs),
                or a `Dataset`, `DataLoader`, generator or iterable that brings its own targets.
            y: Targets, for inputs in memory.
            batch_size: Rows in a batch, 32 by default.
            epochs: The epoch to stop before; with `initial_epoch=0`, how many passes to make.
            verbose: 0 silent, 1 a progress bar, 2 one line per epoch, `"auto"` by the output.
            callbacks: Callbacks, called in their order.
            validation_split: The share of rows, from the end and before shuffling, to evaluate on
                after each epoch.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, or anything `x` may be.
            shuffle: Whether to draw a new order each epoch; `"batch"` shuffles whole batches.
            class_weight: A factor on the loss by class index; by output name for several outputs.
            sample_weight: A factor on the loss for each row.
            initial_epoch: The number of the first epoch.
            steps_per_epoch: Batches in an epoch; by default, one pass.
            validation_steps: Batches of a validation; by default, one pass.
            validation_batch_size: Rows in a validation batch; by default, `batch_size`.
            validation_freq: Validate every so many epochs, or in the epochs listed (from 1).
            resume: A folder of this run's own, where its state is kept after each epoch and every
                few minutes. Run the same script again after a crash or a kill, and it goes on from
                there; once finished, it returns at once. See `BackupAndRestore`.
            cache_frozen: Whether to compute what a frozen first part of the model makes of data
                once, and to train the rest on that, with the same results. `"auto"` does so where
                it saves time and data are known to be the same in every epoch; `True` promises
                that they are, and says why where it cannot be done.

        Returns:
            A `History`; `history.history` holds each log's values by epoch.

        Raises:
            RuntimeError: If the model is not compiled.
            ValueError: If data, targets and model do not go together. Nothing is changed then.
        """
        recipe = self._require_compiled("fit")
        source, x = x, self._open_inputs(x)
        check_cache_frozen(cache_frozen)
        check_count("epochs", epochs, minimum=0, required=True)
        check_count("steps_per_epoch", steps_per_epoch)
        check_count("validation_steps", validation_steps)
        check_count("initial_epoch", initial_epoch, minimum=0, required=True)
        check_count("validation_batch_size", validation_batch_size)
        warn_without_effect(
            initial_epoch,
            epochs,
            validation_data,
            validation_split,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
        )
        validation_freq = frequency(validation_freq)
        with random_state_kept_on_error():
            kind = recipe.data_parallel
            parallel.begin(kind, target_device(self, recipe))  # type: ignore[arg-type]
            seed = parallel.common_seed(kind, int(torch.randint(2**31, ())))
            if validation_split and validation_data is None:
                train, held = split_tail(x, y, sample_weight, validation_split)
                (x, y, sample_weight), validation_data = train, held
            data = x, y, sample_weight
            feed = self._train_feed(data, batch_size, shuffle, seed, initial_epoch)
            validation = None
            if validation_data is not None:
                size = batch_size, validation_batch_size
                validation = self._validation_feed(validation_data, *size)
            custom = self._trains_itself
            plan, tracker = self._plan_or_custom(feed, class_weight, custom)
            if validation is not None and plan is not None:
                self._plan_validation(plan, feed, validation, is_tail=bool(validation_split))
            self._forget_gradients()
            if plan is not None or self._is_ready_to_bind():
                self._bind_optimizer()
            parallel.start_alike(kind, self, seed)  # type: ignore[arg-type]
            self._note_source(source)
            tells = draws_by_sample(self)  # type: ignore[arg-type]
            session = loop.Passes(feed, steps_per_epoch, initial_epoch, tells=tells)
            val_passes = None
            if validation is not None:
                val_passes = loop.Passes(validation, validation_steps, restarts=True)
            if resume is not None:
                callbacks = [callbacks, BackupAndRestore.for_resume(resume)]
            listeners = CallbackList(
                callbacks,
                add_history=True,
                add_progbar=verbose != 0,
                model=self,
                params={
                    "epochs": epochs,
                    "steps": session.num_batches,
                    "validation_steps": None if val_passes is None else val_passes.num_batches,
                    "verbose": verbose,
                    "batch_size": feed.batch_size,
                    "metrics": self._log_names(tracker, validation is not None),
                },
            )
        self.stop_training = False
        run = Run(
            self,
            None if custom else plan,
            tracker,
            session,
            val_passes,
            validation_freq,
            listeners,
            cache_frozen,
            verbose != 0,
        )
        try:
            with guarded("fit", recipe, self, feed.batch_size), fitting(self), closing(run):  # type: ignore[arg-type]
                run.train(initial_epoch, epochs)
        finally:
            self._passes = session.reached
            self._end_training(run)
        run.advise(source, speak=verbose != 0)
        return self.history

    def _end_training(self, run: Run) -> None:
        """Let callbacks close files and restore weights, and leave the model ready for use."""
        assert self._recipe is not None
        self.eval()  # type: ignore[attr-defined]
        optimizer = self._recipe.optimizer
        if optimizer.use_ema:
            # Before callbacks put back the weights of the best epoch.
            run.listeners.before_train_end()
            optimizer.finalize_variable_values()
        run.listeners.on_train_end(final_logs(run.logs))

    def _run_test(self, passes: loop.Passes, listeners: CallbackList) -> dict[str, Any]:
        """Evaluate one pass. Returns the logs."""
        self.reset_metrics()
        self.eval()  # type: ignore[attr-defined]
        logs: dict[str, Any] = {}
        try:
            listeners.on_test_begin()
            logs = self._test_logs(passes, listeners)
        finally:
            listeners.on_test_end(logs)
        return logs

    def _test_logs(self, passes: loop.Passes, listeners: CallbackList) -> dict[str, Any]:
        batches = passes.next_epoch()
        if self._tests_itself:
            with torch.no_grad():
                return loop.custom_epoch(self, batches, "test", listeners, feed=passes.feed)[1]
        assert self._recipe is not None
        assert self._objective is not None
        device = target_device(self, self._recipe)  # type: ignore[arg-type]
        plan = StepPlan(self, self._recipe, self._objective, device)
        plan.rest = passes.rest
        tracker = Tracker(self._objective, self._own_metrics())
        if passes.window is None:
            tracker.size_window(*_sample_of(passes.feed))
        # Looked at once: a look takes a batch out of what can be read only once.
        passes.window = tracker.window = passes.window or tracker.window
        seen = loop.test_epoch(batches, make_test_step(plan), tracker, listeners)
        if plan.is_shared:
            tracker.merge_processes()
        elif not seen:
            return {}
        return {k: loop.to_number(v) for k, v in tracker.results().items()}

    def _log_names(self, tracker: Tracker | None, validated: bool) -> list[str]:
        names = self.metrics_names if tracker is None else [name for name, _ in tracker.logged]
        return names + [f"val_{name}" for name in names] * validated

    # Evaluating and predicting

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        *,
        tta: Any = None,
    ) -> Any:
        """Compute loss and metrics on data, in evaluation mode.

        Args:
            x: Inputs; anything `fit` takes.
            y: Targets, for inputs in memory.
            batch_size: Rows in a batch, 32 by default.
            verbose: As in `fit`.
            sample_weight: A factor on the loss for each row.
            steps: Batches to use; by default, one pass.
            callbacks: Callbacks; their `on_test_…` hooks are called.
            return_dict: Whether to return a dict by name.
            tta: Views of each sample to average the outputs over, as in `predict`.

        Returns:
            The loss, or `[loss, *metrics]`, or a dict of them.

        Raises:
            RuntimeError: If the model is not compiled.
            ValueError: If data, targets and model do not go together.
        """
        recipe = self._require_compiled("evaluate")
        check_count("steps", steps)
        if tta is not None:
            if self._tests_itself:
                raise ValueError("evaluate: `tta` does not reach into a model's own test_step.")
            with bind_views(tta, self):
                data = (x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict)
                return self.evaluate(*data)
        parallel.begin(recipe.data_parallel, recipe.torch_device())
        feed = self._test_feed(x, y, sample_weight, batch_size)
        tracker = None
        if not self._tests_itself:
            _, tracker = self._plan(feed)
        passes = loop.Passes(feed, steps, restarts=True, tells=views_of(self) is not None)
        listeners = CallbackList(
            callbacks,
            add_progbar=verbose != 0,
            model=self,
            params={
                "steps": passes.num_batches,
                "verbose": verbose,
                "epochs": 1,
                "batch_size": feed.batch_size,
                "metrics": self._log_names(tracker, False),
            },
        )
        with guarded("evaluate", recipe, self, feed.batch_size), aside(self), closing(passes):  # type: ignore[arg-type]
            logs = self._run_test(passes, listeners)
        if return_dict:
            return logs
        values = list(logs.values())
        return values[0] if len(values) == 1 else values

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        *,
        tta: Any = None,
    ) -> Any:
        """Compute the outputs for data, in evaluation mode.

        Args:
            x: Inputs; anything `fit` takes. Targets that a source brings are ignored. To a model
                with `preprocessing` also raw images: paths, PIL images, arrays of uint8, one or a
                list of them.
            batch_size: Rows in a batch, 32 by default.
            verbose: As in `fit`.
            steps: Batches to use; by default, one pass.
            callbacks: Callbacks; their `on_predict_…` hooks are called.
            tta: Views of each sample to average the outputs over: `"ten_crop"`,
                `"multi_scale_ten_crop"`, `"flips"`, `"monte_carlo_dropout"`, or `kerasish.tta`'s.

        Returns:
            A NumPy array with one row for each input row; a structure of them where the model's
            output is one. `(mean, spread)` of these where `tta` has `spread=True`.
        """
        model: Any = self
        check_count("steps", steps)
        if tta is not None:
            with bind_views(tta, self, keeps_spread=True):
                return self.predict(x, batch_size, verbose, steps, callbacks)
        recipe = self._recipe or Recipe(optimizer=optimizers.SGD(), device=device_of(model))
        device = place_model(model, recipe)
        x = self._open_inputs(x, lazily=True)
        feed = make_feed(x, batch_size=batch_size, device=device, floats=recipe.floats)
        fit_inputs(model, feed)
        passes = loop.Passes(feed, steps, restarts=True, tells=views_of(self) is not None)
        listeners = CallbackList(
            callbacks,
            add_progbar=verbose != 0,
            model=self,
            params={"steps": passes.num_batches, "verbose": verbose, "metrics": [], "epochs": 1},
        )
        with aside(model), closing(passes):
            model.eval()
            step = make_predict_step(StepPlan(model, recipe, None, device))
            try:
                listeners.on_predict_begin()
                with guarded("predict", recipe, model, feed.batch_size):
                    _, outputs = loop.predict_batches(passes.next_epoch(), step, listeners)
            finally:
                listeners.on_predict_end()
        return map_leaves(as_numpy, outputs)


def _sample_of(feed: Feed) -> tuple[Any, Any]:
    x, y, _ = feed.peek()
    return x, y
