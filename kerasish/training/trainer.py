"""Trainer: the verbs of a model. `compile` decides; `fit`, `evaluate` and `predict` follow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import Dataset

from kerasish import optimizers
from kerasish.callbacks import BackupAndRestore, CallbackList
from kerasish.data import ArrayFeed, Feed, make_feed, split_tail
from kerasish.data.arrays import as_tensors, is_array, map_leaves
from kerasish.data.stream import batch_rows
from kerasish.training import loop, parallel, preflight
from kerasish.training.batch_methods import BatchMethods
from kerasish.training.cache import check_cache_frozen
from kerasish.training.guards import guarded
from kerasish.training.objective import Objective
from kerasish.training.placement import place_model
from kerasish.training.preflight.probe import first_rows
from kerasish.training.preflight.probe import run as run_rows
from kerasish.training.recipe import Recipe
from kerasish.training.run import Run
from kerasish.training.session import (
    as_numpy,
    check_count,
    check_shuffle,
    final_logs,
    frequency,
    random_state_kept_on_error,
    unpack_validation,
)
from kerasish.training.step import (
    StepPlan,
    make_predict_step,
    make_test_step,
    make_train_step,
)
from kerasish.training.targets import class_tables, class_weigher, target_preparer
from kerasish.training.tracker import Tracker
from kerasish.tta.bound import bind_views


class Trainer(BatchMethods):
    """Adds `compile`, `fit`, `evaluate`, `predict` and their relatives to a torch module.

    Override `train_step(self, data)`, `test_step`, `predict_step` or `compute_loss` to change what
    happens to a batch and keep everything around it.
    """

    optimizer: Any = None
    history: Any = None
    stop_training: bool = False
    _recipe: Recipe | None = None
    _objective: Objective | None = None
    _compiled_call: Any = None

    # Deciding

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = False,
        auto_scale_loss: bool = True,
        *,
        device: str = "auto",
        precision: str = "float32",
        memory_format: str | None = None,
        accumulate_steps: int = 1,
        clip_norm: float | None = None,
        lr_multipliers: Mapping[str, float] | str | None = None,
        data_parallel: str | None = None,
        deterministic: bool = False,
        debug_nans: bool = False,
    ) -> None:
        """Decide how the model is trained.

        Args:
            optimizer: A name, a kerasish optimizer, or torch's: a class, partial or instance.
            loss: A name, a loss, a function `fn(y_true, y_pred)` or a torch loss; a list or dict of
                them for several outputs. `None` trains on `add_loss` alone.
            loss_weights: A factor for each output's loss.
            metrics: Names, metrics, functions or torchmetrics objects; a list, or for several
                outputs a dict by output name.
            weighted_metrics: The same, but they take sample and class weights into account.
            run_eagerly: Accepted for Keras's sake; there is no graph mode to leave.
            steps_per_execution: Accepted for Keras's sake; a step costs no dispatch to save.
            jit_compile: `True` runs the model through `torch.compile`.
            auto_scale_loss: Whether "float16-mixed" scales the loss; it always does.
            device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`.
            precision: `"float32"`, `"bfloat16-mixed"`, `"float16-mixed"` or `"float64"`.
            memory_format: `"channels_last"` stores images and kernels that way.
            accumulate_steps: Batches whose gradients make one update, as one big batch would.
            clip_norm: The largest norm of all gradients together.
            lr_multipliers: A factor on the learning rate by glob pattern over parameter names, such
                as `{"backbone.*": 0.1}`; `"discriminative"` gives the head of a built model a tenth
                of the rate and all stages before it a hundredth; see `transfer.discriminative`.
            data_parallel: `"ddp"` trains in all processes that `torchrun` started: each takes its
                part of the rows of `fit` and `evaluate`, `batch_size` of them at a time, so that
                two processes with half the batch size end with the weights of one with the whole.
                `"dp"` computes on all GPUs of one process.
            deterministic: Use torch's deterministic kernels only, so that a run with the same seed
                gives the same bits on a GPU too; an operation that has none raises.
            debug_nans: Raise at the first layer whose output is not finite, or the first gradient,
                and name it. Slow: for finding the fault.

        Raises:
            ValueError: If a name is unknown or a setting impossible.
            TypeError: If an argument is of the wrong kind.
        """
        bound = optimizers.get(optimizer)
        assert bound is not None
        rates: Any = lr_multipliers
        if isinstance(rates, str):
            rates = self._named_rates(rates)  # type: ignore[attr-defined]
        self._recipe = Recipe(
            optimizer=bound,
            loss=_known(loss, "loss"),
            loss_weights=loss_weights,
            metrics=_known(metrics, "metric"),
            weighted_metrics=_known(weighted_metrics, "metric"),
            device=device,
            precision=precision,
            memory_format=memory_format,
            jit_compile=jit_compile is True,
            accumulate_steps=accumulate_steps,
            clip_norm=clip_norm,
            lr_multipliers=rates,
            data_parallel=data_parallel,
            deterministic=deterministic,
            debug_nans=debug_nans,
        )
        self.optimizer = bound
        self._objective = None
        self.stop_training = False
        # As a plain function: a compiled module must not become a child of the model.
        compiles = jit_compile is True and not debug_nans  # a compiled model has no layers to watch
        call = torch.compile(self.__call__) if compiles else None  # type: ignore[attr-defined]
        self.__dict__["_compiled_call"] = call

    @property
    def compiled(self) -> bool:
        """Whether `compile` has been called."""
        return self._recipe is not None

    @property
    def loss(self) -> Any:
        """What `compile` was given as loss."""
        return None if self._recipe is None else self._recipe.loss

    def _require_compiled(self, action: str) -> Recipe:
        if self._recipe is None:
            raise RuntimeError(
                f"{action}: the model must be compiled first: "
                'model.compile(optimizer="adam", loss=..., metrics=[...]).'
            )
        return self._recipe

    def overrides(self, name: str) -> bool:
        """Whether a subclass has its own method of this name."""
        return getattr(type(self), name) is not getattr(Trainer, name)

    @property
    def _trains_itself(self) -> bool:
        return self.overrides("train_step") or self.overrides("compute_metrics")

    @property
    def _tests_itself(self) -> bool:
        return self.overrides("test_step") or self.overrides("compute_metrics")

    def compiled_forward(self, x: Any) -> Any:
        """The model's outputs, through `torch.compile` where that was asked for."""
        call = self._compiled_call
        return self(x) if call is None else call(x)  # type: ignore[operator]

    # Data that a model reads in a way of its own

    def _open_inputs(self, x: Any, lazily: bool = False) -> Any:
        """What `x` stands for, such as the images behind paths."""
        return x

    def _note_source(self, source: Any) -> None:
        """Learn from what is trained on, such as the names of its classes."""

    # Planning

    def _plan(
        self, feed: Feed, class_weight: Any = None, *, training: bool = False
    ) -> tuple[StepPlan, Tracker]:
        """Place the model, try a few rows, resolve losses and metrics, prepare the targets."""
        recipe = self._require_compiled("fit" if training else "evaluate")
        model: Any = self
        device = place_model(model, recipe)
        probing = StepPlan(model, recipe, None, device)
        try:
            fit_inputs(model, feed)
            build(probing, feed)
            y_pred, y = preflight.probe(probing, feed, graph=training)
        except Exception as error:
            if training and self._trains_itself:
                raise _NoForwardError from error
            raise
        if self._objective is None:
            names = getattr(model, "output_names", [])
            self._objective = Objective(recipe, names, y, y_pred)
        objective = self._objective
        feed.prepare(target_preparer(objective, y_pred, class_weight))
        plan = StepPlan(model, recipe, objective, device)
        if training and not self._trains_itself:
            tables = class_tables(objective, class_weight)
            preflight.check_before_training(plan, feed, y_pred, tables)
        return plan, Tracker(objective)

    def _bind_optimizer(self) -> None:
        assert self._recipe is not None
        named = [(n, p) for n, p in self.named_parameters() if p.requires_grad]  # type: ignore[attr-defined]
        self._recipe.optimizer.bind(named, self._recipe.lr_multipliers)

    def _forget_gradients(self) -> None:
        """Drop what an interrupted fit, or a backward pass of the user's own, left behind."""
        for parameter in self.parameters():  # type: ignore[attr-defined]
            parameter.grad = None

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
                once, and to train the rest on that, with the same results. `"auto"` does so for
                arrays where it saves time; `True` says why where it cannot be done.

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
        validation_freq = frequency(validation_freq)
        with random_state_kept_on_error():
            kind, device = recipe.data_parallel, recipe.torch_device()
            parallel.begin(kind, device)
            seed = parallel.common_seed(kind, int(torch.randint(2**31, ())))
            if validation_split and validation_data is None:
                train, held = split_tail(x, y, sample_weight, validation_split)
                (x, y, sample_weight), validation_data = train, held
            check_shuffle(x, shuffle)
            feed = make_feed(
                x,
                y,
                sample_weight,
                batch_size=batch_size,
                shuffle=shuffle,
                seed=seed,
                device=device,
                shard=parallel.shard_of(kind, training=True),
                floats=recipe.floats,
            )
            feed.first_epoch = initial_epoch
            validation = None
            if validation_data is not None:
                vx, vy, vw = unpack_validation(validation_data)
                takes_size = is_array(vx) or isinstance(vx, Dataset)
                size = validation_batch_size or (batch_size if takes_size else None)
                validation = self._test_feed(vx, vy, vw, size)
            custom = self._trains_itself
            plan, tracker = self._plan_or_custom(feed, class_weight, custom)
            if validation is not None and plan is not None:
                validation.prepare(_preparer_of(plan, validation))
                preflight.check_validation(plan, feed, validation, is_tail=bool(validation_split))
            self._forget_gradients()
            if plan is not None or not custom:
                self._bind_optimizer()
            parallel.start_alike(kind, self, seed)  # type: ignore[arg-type]
            self._note_source(source)
            session = loop.Passes(feed, steps_per_epoch, initial_epoch)
            val_passes = (
                None
                if validation is None
                else loop.Passes(validation, validation_steps, restarts=True)
            )
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
            with guarded("fit", recipe, self, feed.batch_size):  # type: ignore[arg-type]
                run.train(initial_epoch, epochs)
        finally:
            # Whatever ended training, callbacks close their files and restore their weights, and
            # the model is left ready for use.
            self.eval()  # type: ignore[attr-defined]
            listeners.on_train_end(final_logs(run.logs))
            if recipe.optimizer.use_ema:
                recipe.optimizer.finalize_variable_values()
        run.advise(source, speak=verbose != 0)
        return self.history

    def _plan_or_custom(
        self, feed: Feed, class_weight: Any, custom: bool
    ) -> tuple[StepPlan | None, Tracker | None]:
        if not custom:
            return self._plan(feed, class_weight, training=True)
        try:
            return self._plan(feed, class_weight, training=True)
        except _NoForwardError:
            # A model with its own train_step need not have a forward pass, or one for this data.
            if class_weight is not None:
                feed.prepare(class_weigher(class_weight))
            return None, None

    def _test_feed(self, x: Any, y: Any, weight: Any, batch_size: int | None) -> Feed:
        recipe = self._require_compiled("evaluate")
        device = recipe.torch_device()
        shard = parallel.shard_of(recipe.data_parallel, training=False)
        if self._tests_itself:
            shard = None  # what such a step makes of its batches, nobody else can add up
        return make_feed(
            self._open_inputs(x),
            y,
            weight,
            batch_size=batch_size,
            device=device,
            shard=shard,
            floats=recipe.floats,
        )

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
                return loop.custom_epoch(self, batches, "test", listeners)[1]
        assert self._recipe is not None
        assert self._objective is not None
        plan = StepPlan(self, self._recipe, self._objective, self._recipe.torch_device())
        plan.rest = passes.rest
        tracker = Tracker(self._objective)
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
        if tracker is None:
            names = self.metrics_names
        else:
            names = [name for name, _ in tracker.objective.logged]
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
        passes = loop.Passes(feed, steps, restarts=True)
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
        with guarded("evaluate", recipe, self, feed.batch_size):  # type: ignore[arg-type]
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
        recipe = self._recipe or Recipe(optimizer=optimizers.SGD(), device=_device_of(model))
        device = place_model(model, recipe)
        x = self._open_inputs(x, lazily=True)
        feed = make_feed(x, batch_size=batch_size, device=device, floats=recipe.floats)
        fit_inputs(model, feed)
        passes = loop.Passes(feed, steps, restarts=True)
        listeners = CallbackList(
            callbacks,
            add_progbar=verbose != 0,
            model=self,
            params={"steps": passes.num_batches, "verbose": verbose, "metrics": [], "epochs": 1},
        )
        model.eval()
        plan = StepPlan(model, recipe, None, device)
        step = make_predict_step(plan)
        try:
            listeners.on_predict_begin()
            with guarded("predict", recipe, model, feed.batch_size):
                _, outputs = loop.predict_batches(passes.next_epoch(), step, listeners)
        finally:
            listeners.on_predict_end()
        return map_leaves(as_numpy, outputs)

    # One batch at a time

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Train on one batch.

        Returns:
            The loss, or `[loss, *metrics]`, or a dict of them.
        """
        recipe = self._require_compiled("train_on_batch")
        feed = _one_batch(x, y, sample_weight, recipe)
        plan, tracker = self._plan(feed, class_weight)
        self.reset_metrics()
        self._batch_step = None
        self._forget_gradients()
        self._bind_optimizer()
        self.train()  # type: ignore[attr-defined]
        batch = next(iter(feed.batches(0)))
        try:
            if self._trains_itself:
                logs = self.train_step(loop.as_data(batch))
            else:
                step = make_train_step(plan)
                tracker.kept.append(step(*batch))
                if hasattr(step, "finish"):
                    step.finish()  # type: ignore[union-attr]
                logs = tracker.results()
        finally:
            self.eval()  # type: ignore[attr-defined]
        return _returned(logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Evaluate one batch.

        Returns:
            The loss, or `[loss, *metrics]`, or a dict of them.
        """
        recipe = self._require_compiled("test_on_batch")
        feed = _one_batch(x, y, sample_weight, recipe)
        plan, tracker = self._plan(feed)
        self.reset_metrics()
        self.eval()  # type: ignore[attr-defined]
        batch = next(iter(feed.batches(0)))
        with torch.inference_mode():
            if self._tests_itself:
                logs = self.test_step(loop.as_data(batch))
            else:
                tracker.kept.append(make_test_step(plan)(*batch))
                logs = tracker.results()
        return _returned(logs, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        rows = batch_rows((as_tensors(x, "x"), None, None))
        return self.predict(x, batch_size=rows, verbose=0)


def build(plan: StepPlan, feed: Feed) -> None:
    """Make the weights of a model that is not built yet, by a few rows.

    This draws random numbers as any building does, unlike the trial runs that follow.
    """
    model = plan.model
    if all(layer.built for layer in (model, *model.sublayers())):
        return
    with torch.no_grad():
        model.eval()
        run_rows(plan, first_rows(model, feed)[0])
        model.clear_losses()
    place_model(model, plan.recipe)


def fit_inputs(model: Any, feed: Feed) -> None:
    """Let a feed give its inputs as the model takes them, where the first batch does not yet."""
    adjust = getattr(model, "fit_inputs", None)
    if adjust is None:
        return
    images: Any = getattr(model, "preprocessing", None)
    if feed.holds_pixels and hasattr(images, "arrange"):
        feed.prepare(lambda x, y, weight: (images(images.arrange(x)), y, weight))
    x = feed.peek()[0]
    # The images of a stream may have other sizes in every batch.
    varies = hasattr(images, "arrange") and not isinstance(feed, ArrayFeed)
    if adjust(x) is not x or (varies and getattr(x, "dtype", None) is torch.uint8):
        feed.prepare(lambda x, y, weight: (adjust(x), y, weight))


class _NoForwardError(Exception):
    """The model cannot be called on the data; no matter where it has a train_step of its own."""


def _known(value: Any, kind: str) -> Any:
    """Refuse misspelt names now, not at the first batch."""
    from kerasish import losses, metrics

    if isinstance(value, str):
        if value in ("accuracy", "acc", "crossentropy", "ce"):
            return value
        (losses if kind == "loss" else metrics).get(value)
    elif isinstance(value, Mapping):
        for item in value.values() if "class_name" not in value else ():
            _known(item, kind)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _known(item, kind)
    elif value is not None:
        (losses if kind == "loss" else metrics).get(value)
    return value


def _preparer_of(plan: StepPlan, feed: Feed) -> Any:
    assert plan.objective is not None
    fit_inputs(plan.model, feed)
    y_pred, _ = preflight.probe(plan, feed)
    return target_preparer(plan.objective, y_pred)


def _sample_of(feed: Feed) -> tuple[Any, Any]:
    x, y, _ = feed.peek()
    return x, y


def _device_of(model: Any) -> str:
    first = next(model.parameters(), None)
    return "auto" if first is None else str(first.device)


def _one_batch(x: Any, y: Any, weight: Any, recipe: Recipe) -> ArrayFeed:
    rows = batch_rows((as_tensors(x, "x"), None, None))
    return ArrayFeed(
        x,
        y,
        weight,
        batch_size=max(rows, 1),
        device=recipe.torch_device(),
        floats=recipe.floats,
    )


def _returned(logs: Mapping[str, Any], return_dict: bool) -> Any:
    numbers = {name: loop.to_number(value) for name, value in logs.items()}
    if return_dict:
        return numbers
    values = list(numbers.values())
    return values[0] if len(values) == 1 else values
