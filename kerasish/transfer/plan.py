"""What to fine-tune, in which order: phases, and the plan that data and network suggest."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from kerasish.callbacks import GradualUnfreezing
from kerasish.data import make_feed
from kerasish.describe import count_of
from kerasish.models.bundle import outputs_of
from kerasish.models.freezing import stages
from kerasish.transfer.probing import probe

# Images a class up to which a pretrained network is kept as it is, and from which all of it learns.
LITTLE, MUCH = 100, 1000
# Rows on which likeness is measured, and how much worse the last stage may be.
PROBED, MARGIN = 400, 0.05


@dataclasses.dataclass
class Phase:
    """One `freeze`, `compile` and `fit` of a plan.

    Args:
        name: What it is called in print and in the history.
        train: What learns: `"head"`; `"all"`; how many stages from the end; or patterns, as
            `unfreeze` takes them.
        epochs: At most; with validation data training ends when it no longer helps.
        learning_rate: A number or a schedule.
        lr_multipliers: As in `compile`: factors by pattern, `"discriminative"` or `None`.
        callbacks: For this phase alone.

    Example:
        >>> Phase("last stage", train=2, learning_rate=1e-3, lr_multipliers="discriminative").epochs
        10
    """

    name: str
    train: Any = "head"
    epochs: int = 10
    learning_rate: Any = 1e-3
    lr_multipliers: Mapping[str, float] | str | None = None
    callbacks: Sequence[Any] = ()

    def freeze(self, model: Any) -> None:
        """Freeze everything that does not learn in this phase, and thaw the rest.

        Raises:
            ValueError: If `train` means nothing in this model.
        """
        model.unfreeze()
        if self.train == "head":
            model.freeze()
        elif self.train != "all":
            model.freeze(1.0)
            is_number = isinstance(self.train, int)
            model.unfreeze(**{"last" if is_number else "what": self.train})

    def __str__(self) -> str:
        rate = describe_rate(self.learning_rate)
        if self.lr_multipliers == "discriminative":
            rate += " (a tenth of it for the head, a hundredth below)"
        elif self.lr_multipliers:
            factors: Mapping[str, float] = dict(self.lr_multipliers)  # type: ignore[arg-type]
            rate += f" ({', '.join(f'{name} x {value:g}' for name, value in factors.items())})"
        more = "".join(f", with {type(callback).__name__}" for callback in self.callbacks)
        epochs = count_of(self.epochs, "epoch")
        return f"{self.name}: {self._what()}, up to {epochs} at rate {rate}{more}"

    def _what(self) -> str:
        if any(isinstance(callback, GradualUnfreezing) for callback in self.callbacks):
            return "the head, then stage after stage"
        if isinstance(self.train, (list, tuple)):
            return ", ".join(self.train)
        if isinstance(self.train, int):
            return f"the last {count_of(self.train, 'stage')}"
        return {"head": "the head alone", "all": "all stages"}.get(self.train, str(self.train))


def describe_rate(rate: Any) -> str:
    """A learning rate in a few words."""
    return f"{rate:g}" if isinstance(rate, (int, float)) else type(rate).__name__


class Plan(list):
    """A list of `Phase`s, and why they are these; `print` shows it in words.

    Args:
        phases: What is done, in order.
        reason: Why.

    Example:
        >>> print(Plan([Phase("head", epochs=3)], "Little data."))
        Little data.
        1. head: the head alone, up to 3 epochs at rate 0.001
    """

    def __init__(self, phases: Sequence[Phase] = (), reason: str = "") -> None:
        super().__init__(phases)
        self.reason = reason

    def __str__(self) -> str:
        lines = [self.reason] if self.reason else []
        return "\n".join([*lines, *(f"{n}. {phase}" for n, phase in enumerate(self, 1))])


def make_plan(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    similar: bool | None = None,
    epochs: int = 10,
    learning_rate: Any = 1e-3,
) -> Plan:
    """The phases that suit a network and the data it is to learn from.

    With little data (up to 100 rows a class) only the head learns: more would learn the data by
    heart. With more, the last stages learn after it, at small rates; and with data unlike those of
    the network, or with 1,000 rows a class, in the end all of it.

    Args:
        model: A built model.
        x: Anything that `fit` takes.
        y: Targets, for inputs in memory.
        similar: Whether the data are like those that the network learned from. By default that is
            measured, on up to 400 rows, by `probe`: they are alike if the features of the last
            stage tell the classes apart about as well as those of any.
        epochs: The most epochs of each phase.
        learning_rate: The rate of the head.

    Returns:
        A list of phases to print, change and pass to `fine_tune`.
    """
    x = model._open_inputs(x)
    rows, classes = _count(x, y), max(outputs_of(model) or 2, 2)
    amount = "The data do not tell how many rows they have"
    if rows is not None:
        amount = f"{count_of(rows, 'row')} of {classes} classes"
    finding, alike = _likeness(model, x, y, similar)
    head = Phase("head", "head", epochs, learning_rate)
    if rows is not None and rows < LITTLE * classes:
        reason = f"{amount}: little, so the head alone learns. {finding}"
        if alike is False:
            reason += " Features of an earlier stage may serve better: see transfer.probe."
        return Plan([head], reason)
    last = Phase("last stages", _last(model), epochs, learning_rate, "discriminative")
    if alike is not False and (rows is None or rows < MUCH * classes):
        return Plan([head, last], f"{amount}. {finding} The last stages learn after the head.")
    everything = Phase("all", "all", epochs, learning_rate, "discriminative")
    return Plan([head, last, everything], f"{amount}. {finding} In the end all of it learns.")


def gradual_plan(model: Any, *, epochs: int = 10, learning_rate: Any = 1e-3) -> Plan:
    """One phase in which the stages thaw one after the other, from the head on.

    Args:
        model: A built model.
        epochs: In all.
        learning_rate: The rate of the head.
    """
    number = len(stages(model))
    every = max(1, epochs // number)
    phase = Phase(
        "gradual", "head", epochs, learning_rate, "discriminative", [GradualUnfreezing(every)]
    )
    pace = "each epoch" if every == 1 else f"every {every} epochs"
    return Plan([phase], f"{count_of(number, 'stage')}, of which one more learns {pace}.")


def _last(model: Any) -> int:
    """The head's stages, and a quarter of those before it."""
    names = [stage.name for stage in stages(model)]
    point = getattr(model, "freeze_point", None)
    before = names.index(point) + 1 if point in names else len(names) - 1
    return len(names) - before + max(1, round(before / 4)) if before else len(names)


def _count(x: Any, y: Any) -> int | None:
    if isinstance(x, (DataLoader, Iterator)):
        return None if isinstance(x, Iterator) else len(x.dataset)  # type: ignore[arg-type]
    return make_feed(x, y).num_samples


def _likeness(model: Any, x: Any, y: Any, similar: bool | None) -> tuple[str, bool | None]:
    """What is said of the data's likeness to the network's own, and whether they are alike."""
    if similar is not None:
        said = "like" if similar else "unlike"
        return f"They are {said} those of the network, as you say.", similar
    sample = _sample(x, y)
    names = [stage.name for stage in stages(model)][:-1]
    if sample is None or not names:
        return "Whether they are like those of the network is not known.", None
    try:
        scores = probe(model, *sample, layers=names)
    except ValueError:
        return "Whether they are like those of the network could not be measured.", None
    best = max(scores, key=lambda name: scores[name])
    last = names[-1]
    alike = scores[last] >= scores[best] - MARGIN
    found = f"a linear classifier on '{last}' is right on {scores[last]:.0%} of held-out rows"
    if best != last:
        found += f", on '{best}' on {scores[best]:.0%}"
    verdict = "like" if alike else "unlike"
    return f"They seem {verdict} those of the network: {found}.", alike


def _sample(x: Any, y: Any) -> tuple[Any, Any] | None:
    """Some hundred rows to measure on; `None` where reading would use them up."""
    if isinstance(x, Iterator):
        return None
    if y is not None:
        if not isinstance(x, (np.ndarray, Tensor)) or not isinstance(y, (np.ndarray, Tensor, list)):
            return None
        chosen = np.random.default_rng(0).permutation(len(y))[:PROBED]
        return x[chosen], np.asarray(y)[chosen]
    batches = -(-PROBED // (getattr(x, "batch_size", None) or 32))
    if hasattr(x, "take"):
        return x.take(batches), None
    return (itertools.islice(x, batches) if isinstance(x, DataLoader) else x), None
