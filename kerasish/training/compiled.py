"""What `compile` decided about a model's training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from kerasish import optimizers
from kerasish.training.batch_methods import BatchMethods
from kerasish.training.objective import Objective
from kerasish.training.recipe import Recipe


class Compiled(BatchMethods):
    """`compile`, and what it left behind."""

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
        if debug_nans and jit_compile is True:
            warnings.warn(
                "compile: jit_compile has no effect with debug_nans, which looks at each layer.",
                stacklevel=2,
            )
        if data_parallel == "dp" and jit_compile is True:
            warnings.warn(
                'compile: jit_compile has no effect where data_parallel="dp" computes on several '
                "GPUs, with copies of the model that are made anew for each batch.",
                stacklevel=2,
            )
        if not auto_scale_loss and precision == "float16-mixed":
            warnings.warn(
                'compile: auto_scale_loss=False has no effect: precision="float16-mixed" always '
                "scales the loss.",
                stacklevel=2,
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
        return getattr(type(self), name) is not getattr(Compiled, name)

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
