"""fine_tune: a network's phases of training, one after the other, by the public calls alone."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from kerasish import losses, optimizers
from kerasish.callbacks import EarlyStopping, History
from kerasish.callbacks.console import say
from kerasish.data import make_feed
from kerasish.data.arrays import is_array
from kerasish.describe import describe, suggest
from kerasish.models.bundle import note_classes, outputs_of
from kerasish.models.freezing import stages
from kerasish.transfer.plan import Phase, Plan, gradual_plan, make_plan
from kerasish.utils import split_dataset

PLANS = ("auto", "gradual")


class PhaseSpan(NamedTuple):
    """The epochs of a phase: numbers from 0, `last` included."""

    name: str
    first: int
    last: int


class PhasedHistory(History):
    """The histories of several fits as one.

    Attributes:
        phases: Name, first and last epoch of each phase, from 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[PhaseSpan] = []

    def add(self, name: str, history: History) -> None:
        """Append what one fit logged; its epochs go on counting."""
        if history.epoch:
            self.phases.append(PhaseSpan(name, history.epoch[0], history.epoch[-1]))
        self.epoch += history.epoch
        self.advice = history.advice
        for key, values in history.history.items():
            self.history.setdefault(key, []).extend(values)
            self._epochs_of.setdefault(key, []).extend(history.epochs_of(key))
        for part, seconds in history.seconds.items():
            self.seconds.setdefault(part, []).extend(seconds)

    def plot(self, names: list[str] | None = None) -> Any:
        """Draw each metric over the epochs, with a line where a phase begins."""
        figure = super().plot(names)
        for axis in figure.axes:
            for span in self.phases:
                axis.axvline(span.first + 0.5, color="grey", linewidth=0.8, linestyle=":")
                axis.annotate(
                    span.name,
                    (span.first + 0.5, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(2, -9),
                    textcoords="offset points",
                    fontsize="x-small",
                    color="grey",
                )
        return figure


def fine_tune(
    model: Any,
    x: Any,
    y: Any = None,
    plan: Any = "auto",
    *,
    validation_data: Any = None,
    validation_split: float = 0.2,
    similar: bool | None = None,
    epochs: int = 10,
    learning_rate: Any = 1e-3,
    patience: int = 3,
    optimizer: Any = "adam",
    loss: Any = None,
    metrics: Any = None,
    callbacks: Any = None,
    batch_size: int | None = None,
    verbose: Any = "auto",
    seed: int = 0,
    resume: str | os.PathLike[str] | None = None,
    **fit_options: Any,
) -> PhasedHistory:
    """Train a pretrained network with a new head on data of one's own, phase by phase.

    It prints the plan, and then each phase is what one could have typed: `model.unfreeze(...)` and
    `model.freeze(...)`, `model.compile(...)`, `model.fit(...)`. With validation data a phase ends
    when these no longer get better, with the weights of its best epoch; a phase that ends worse
    than the one before it is undone.

    Args:
        model: A model whose last stage is the new head, such as `applications.ResNet50(classes=5)`
            or a `TransferModel`.
        x: Anything that `fit` takes.
        y: Targets, for inputs in memory.
        plan: `"auto"`, see `make_plan`; `"gradual"`, see `gradual_plan`; or a list of `Phase`s.
        validation_data: As in `fit`.
        validation_split: Without validation data, the share of rows that is drawn for it, the same
            of each class. Loaders and generators are not split: give them validation data.
        similar: Whether the data are like those that the network learned from; measured by default.
        epochs: The most epochs of a phase, for plans by name.
        learning_rate: The rate of the head, for plans by name.
        patience: Epochs without a better `val_loss` after which a phase ends.
        optimizer: A name, class or optimizer; each phase gets a new one at its own rate.
        loss: As in `compile`; by default that of the compiled model, or cross-entropy by the kind
            of the targets.
        metrics: As in `compile`; by default those of the compiled model, or the accuracy.
        callbacks: For every phase.
        batch_size: Rows in a batch, 32 by default.
        verbose: As in `fit`; 0 does not print the plan.
        seed: Draws the rows for validation.
        resume: A folder of this run's own, as in `fit`: run the same script again after a crash,
            and it goes on from there, in the phase where it was.
        **fit_options: What else `fit` takes, such as `class_weight`.

    Returns:
        One history of all phases; `history.phases` says which epochs belong to which.

    Raises:
        ValueError: If the plan is empty or its name unknown, or the data do not fit the model.

    Example:
        >>> from kerasish import Input, Sequential, layers
        >>> model = Sequential([Input((4,)), layers.Dense(3, name="body"),
        ...                     layers.Dense(2, activation="softmax", name="head")])
        >>> x, y = torch.randn(20, 4), torch.arange(20) % 2
        >>> fine_tune(model, x, y, [Phase("head", epochs=2)], verbose=0).phases
        [PhaseSpan(name='head', first=0, last=1)]
    """
    note_classes(model, x)
    x = model._open_inputs(x)
    if validation_data is None and validation_split:
        x, y, validation_data = _hold_out(x, y, validation_split, seed)
    phases = _as_plan(plan, model, x, y, similar, epochs, learning_rate)
    settings = _settings(model, x, y, loss, metrics)
    if verbose != 0:
        say(str(phases))
        if validation_data is None:
            say("There are no validation data: every phase makes all of its epochs.")
    joined, best = PhasedHistory(), _Best(model)
    for number, phase in enumerate(phases, 1):
        phase.freeze(model)
        if verbose != 0:
            say(f"Phase {number} of {len(phases)}, {phase.name}: {_learning(model)}")
        own = {**settings, "lr_multipliers": phase.lr_multipliers}
        model.compile(optimizer=_optimizer(optimizer, phase.learning_rate), **own)
        stopping = [] if validation_data is None else [_stopping(patience)]
        history = History()
        done = joined.epoch[-1] + 1 if joined.epoch else 0
        model.fit(
            x,
            y,
            batch_size=batch_size,
            initial_epoch=done,
            epochs=done + phase.epochs,
            validation_data=validation_data,
            callbacks=[*stopping, *phase.callbacks, *_listed(callbacks), history],
            verbose=verbose,
            resume=None if resume is None else Path(resume) / f"phase_{number}",
            **fit_options,
        )
        joined.add(phase.name, history)
        if not best.take(history, keep=number < len(phases)) and verbose != 0:
            say(f"The phase '{phase.name}' did not help, and is undone.")
    model.history = joined
    return joined


class _Best:
    """The weights of the phase with the best validation loss so far.

    Args:
        model: The model whose weights are meant.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.loss = math.inf
        self.weights: dict[str, torch.Tensor] = {}

    def take(self, history: History, *, keep: bool) -> bool:
        """Keep the weights if a phase made them better; otherwise put the better ones back.

        Args:
            history: That of the phase, which ended with the weights of its best epoch.
            keep: Whether another phase follows.

        Returns:
            Whether it made them better, or nobody knows.
        """
        losses = history.history.get("val_loss")
        if not losses:
            return True
        if min(losses) > self.loss:
            self.model.load_state_dict(self.weights)
            return False
        self.loss = min(losses)
        if keep:
            state = self.model.state_dict()
            self.weights = {key: value.detach().clone() for key, value in state.items()}
        return True


def _learning(model: Any) -> str:
    """What of a model learns, in words."""
    parts = stages(model)
    names = [stage.name for stage in parts if stage.trainable]
    told = names if len(names) < 5 else [names[0], "…", names[-1]]
    counts = (
        sum(p.numel() for p in model.parameters() if p.requires_grad),
        sum(p.numel() for p in model.parameters()),
    )
    verb = "learns" if len(names) == 1 else "learn"
    return f"{', '.join(told)} {verb}, {counts[0]:,} of {counts[1]:,} parameters."


def _stopping(patience: int) -> EarlyStopping:
    return EarlyStopping("val_loss", patience=patience, restore_best_weights=True)


def _listed(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def _as_plan(
    plan: Any, model: Any, x: Any, y: Any, similar: bool | None, epochs: int, rate: Any
) -> Plan:
    if isinstance(plan, str):
        if plan not in PLANS:
            raise ValueError(f"fine_tune: unknown plan '{plan}'{suggest(plan, PLANS)}.")
        if plan == "gradual":
            return gradual_plan(model, epochs=epochs, learning_rate=rate)
        return make_plan(model, x, y, similar=similar, epochs=epochs, learning_rate=rate)
    phases = [plan] if isinstance(plan, Phase) else plan
    is_list = isinstance(phases, Sequence) and all(isinstance(p, Phase) for p in phases)
    if not is_list or not phases:
        raise ValueError(
            f"fine_tune: `plan` must be one of {PLANS} or a list of transfer.Phase, got "
            f"{describe(plan)}."
        )
    return phases if isinstance(phases, Plan) else Plan(phases)


def _hold_out(x: Any, y: Any, share: float, seed: int) -> tuple[Any, Any, Any]:
    """Rows for training and others for validation, where they can be told apart."""
    is_dataset = isinstance(x, Dataset) and not isinstance(x, IterableDataset)
    if isinstance(x, DataLoader) or not (is_dataset or (y is not None and is_array(x))):
        return x, y, None
    if isinstance(x, (list, tuple, dict)):
        raise ValueError(
            "fine_tune: rows of several inputs are not split; give `validation_data`, or "
            "validation_split=0."
        )
    rows: Any = x if is_dataset else (x, y)
    stratify = True if not is_dataset or isinstance(x, TensorDataset) else None
    train, held = split_dataset(rows, right_size=share, shuffle=True, seed=seed, stratify=stratify)
    if isinstance(train, TensorDataset) and isinstance(held, TensorDataset):
        return *train.tensors, held.tensors  # type: ignore[return-value]
    return train, None, held


def _settings(model: Any, x: Any, y: Any, loss: Any, metrics: Any) -> dict[str, Any]:
    """What every phase's `compile` gets beside optimizer and rates; as it was, where it was."""
    recipe = model._recipe
    kept: dict[str, Any] = {}
    if recipe is not None:
        left = ("optimizer", "lr_multipliers", "ignored")
        kept = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}
        kept = {key: value for key, value in kept.items() if key not in left}
    if loss is not None or kept.get("loss") is None:
        kept["loss"] = loss if loss is not None else _loss_for(model, make_feed(x, y).peek()[1])
    if metrics is not None or kept.get("metrics") is None:
        kept["metrics"] = ["accuracy"] if metrics is None else metrics
    return kept


def _loss_for(model: Any, y: Any) -> Any:
    """Cross-entropy of the kind that targets and head are of."""
    if not isinstance(y, torch.Tensor):
        raise ValueError(f"fine_tune: the data bring {describe(y)} as targets; give a `loss`.")
    top = next((layer for layer in reversed(model.layers) if hasattr(layer, "activation")), None)
    name = getattr(getattr(top, "activation", None), "__name__", None)
    from_logits = name not in ("softmax", "sigmoid")
    if outputs_of(model) == 1:
        return losses.BinaryCrossentropy(from_logits=from_logits)
    if y.dim() == 2 and y.shape[1] > 1:
        return losses.CategoricalCrossentropy(from_logits=from_logits)
    return losses.SparseCategoricalCrossentropy(from_logits=from_logits)


def _optimizer(optimizer: Any, rate: Any) -> Any:
    """A new optimizer of the same kind at a rate of its own."""
    made = optimizers.get(optimizer() if isinstance(optimizer, type) else optimizer)
    made = type(made).from_config(made.get_config())
    made.learning_rate = rate
    return made
