"""GradualUnfreezing: a pretrained network thaws stage by stage, from the top."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

from kerasish.callbacks.base import Callback
from kerasish.callbacks.console import say
from kerasish.describe import count_of, describe, suggest


class GradualUnfreezing(Callback):
    """Begins with the head alone, and lets the next stage below learn too every so many epochs.

    Training all stages of a pretrained network at once makes it forget what it knew, the more so
    while the head is new (Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text
    Classification"). The optimizer takes up what is thawed and keeps its moments of the rest;
    `lr_multipliers` of `compile` hold for both.

    `fit` begins and ends with the stages as this callback sets them: parts that were frozen by
    `freeze` before learn too when their turn comes.

    Args:
        every: Epochs from one stage to the next.
        start: How many stages learn in the first epoch; the head is one.
        until: The last stage to thaw, by name; those before it stay frozen. By default all thaw.
        verbose: 1 says what learns when that changes.

    Raises:
        ValueError: If a number is not positive. When training begins, if there is no such stage.

    Example:
        >>> thawing = GradualUnfreezing(every=2, until="layer3")
    """

    state_names = ("_first",)

    def __init__(
        self, every: int = 1, start: int = 1, until: str | None = None, verbose: int = 0
    ) -> None:
        for name, value in (("every", every), ("start", start)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"GradualUnfreezing: `{name}` must be a positive number, got {describe(value)}."
                )
        self.every, self.start, self.until, self.verbose = every, start, until, verbose
        self._first: int | None = None  # the epoch in which this fit began

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._first = None
        self._most()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._first is None:
            self._first = epoch
        count = min(self.start + (epoch - self._first) // self.every, self._most())
        self._let_learn(count, epoch)

    def _most(self) -> int:
        """How many stages learn in the end."""
        names = [stage.name for stage in self.model.stages()]
        if self.until is None:
            return len(names)
        if self.until not in names:
            raise ValueError(
                f"GradualUnfreezing: there is no stage '{self.until}'{suggest(self.until, names)}."
            )
        return len(names) - names.index(self.until)

    def _let_learn(self, count: int, epoch: int) -> None:
        """Let the last stages learn and no others."""
        stages = self.model.stages()
        frozen = len(stages) - count
        wanted = [place >= frozen for place in range(len(stages))]
        learning = [all(p.requires_grad for p in s.parameters.values()) for s in stages]
        if wanted == learning and wanted == [stage.trainable for stage in stages]:
            return
        self.model.freeze(first=frozen)
        self.model.unfreeze(last=count)
        if self.verbose:
            names = ", ".join(stage.name for stage in stages[frozen:])
            say(
                f"GradualUnfreezing: from epoch {epoch + 1} on {count_of(count, 'stage')} of "
                f"{len(stages)} {'learns' if count == 1 else 'learn'}: {names}."
            )
