"""Training the rest of a model on what its frozen part made of the data, once for all epochs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import Any

import torch

from kerasish.callbacks.console import say
from kerasish.data.array_rows import ArrayRows
from kerasish.data.arrays import map_leaves
from kerasish.data.feed import ArrayFeed, Feed
from kerasish.data.numbered import NumberedRows, why_not_numbered
from kerasish.data.random_state import random_state, set_random_state
from kerasish.data.stream import StreamFeed
from kerasish.describe import count_of, describe
from kerasish.graph.expand import has_hooks
from kerasish.modes import evaluating
from kerasish.training.collect import Collector, Reader, UnfitError, arranged, checksum
from kerasish.training.loop import Passes
from kerasish.training.plan import StepPlan
from kerasish.training.prefix import Prefix, split
from kerasish.training.storage import told

# Seconds that features must save to be worth their memory.
WORTH = 0.25
# Seconds of an epoch after which to say what would save them.
_LONG = 2.0


def check_cache_frozen(value: Any) -> None:
    """Refuse what is no answer.

    Raises:
        ValueError: If it is none of `"auto"`, `True` and `False`.
    """
    if not isinstance(value, bool) and value != "auto":
        raise ValueError(f'`cache_frozen` must be "auto", True or False, got {describe(value)}.')


class FrozenCache:
    """Swaps the inputs of some passes for features, for as long as the model's first part stays.

    Args:
        plan: What the steps of the run have in common.
        passes: The data.
        wanted: `"auto"` caches where that pays, `True` wherever it can.
        training: Whether the passes train.
        speak: Whether to say what is done.
    """

    def __init__(
        self, plan: StepPlan, passes: Passes, wanted: Any, *, training: bool, speak: bool
    ) -> None:
        self.plan = copy.copy(plan)  # one that never has a `rest`
        self.passes, self.wanted = passes, wanted
        self.training, self.speak = training, speak
        self._raw: Any = passes.feed
        self._prefix: Prefix | None = None
        self._state: Any = None
        self._rows: Reader | None = None
        self._doubt: tuple[float, Any] | None = None  # since when, and a row

    def refresh(self, uses: int) -> None:
        """Make features, or give them up, where freezing, weights or hooks have changed.

        Args:
            uses: How many passes are still to come.

        Raises:
            ValueError: If features were asked for and cannot be made.
        """
        if self._prefix is None and self.wanted == "auto" and not self._has_frozen():
            return
        self._hint()
        if self._state is not None and self._state == self._current_state():
            return
        is_first = self._state is None
        self._prefix = None
        with _random_numbers_kept():
            if self.passes.rest is not None:
                self.passes.switch(self._raw, None)
            reason = self._why_not() or (self._make(uses) if uses > 1 else None)
        if reason and is_first and self.training and self.wanted is True:
            raise ValueError(f"fit: cache_frozen=True, but {reason}.")
        self._state = self._current_state()

    def _hint(self) -> None:
        """Say, once an epoch has shown that it takes long, what would save the time."""
        doubt, self._doubt = self._doubt, None
        if doubt is None or perf_counter() - doubt[0] < _LONG:
            return
        prefix = self._split(doubt[1])
        if prefix is not None:
            say(
                f"fit: '{prefix.end}' and what comes before it are frozen, and run anew in each "
                "epoch, since the data may differ. If they do not, cache_frozen=True saves this."
            )

    def _current_state(self) -> Any:
        """What features depend on."""
        model = self.plan.model
        modules = list(model.modules())
        state: list[Any] = [
            [parameter.requires_grad for parameter in model.parameters()],
            [(id(m), m.training, has_hooks([m])) for m in modules],
            [vars(m).get("_version") for m in modules if m is not model],
        ]
        if self._prefix is not None:
            state.append(checksum(self._prefix.tensors))
            # Numbers in code that was followed are part of what was written down.
            state += [_numbers_in(module) for module in self._prefix.opened]
        return state

    def _has_frozen(self) -> bool:
        return not all(parameter.requires_grad for parameter in self.plan.model.parameters())

    def _why_not(self) -> str | None:
        """Why there can be no features, whatever they cost."""
        recipe, model = self.plan.recipe, self.plan.model
        if not self._has_frozen():
            return "nothing is frozen; freeze a part first, such as by model.freeze()"
        if recipe.data_parallel is not None:
            return f"with data_parallel={recipe.data_parallel!r} each process needs the data"
        if recipe.jit_compile:
            return "jit_compile=True compiles the model as a whole"
        if self.plan.has_masks or model.overrides("compute_loss"):
            return "the loss needs more than the model's outputs"
        return self._why_not_these_data()

    def _why_not_these_data(self) -> str | None:
        """Why rows cannot be known by their numbers."""
        feed = self._raw
        if type(feed) is ArrayFeed:
            self._rows = ArrayRows(feed)
            return None
        if type(feed) is not StreamFeed:
            return f"nobody knows the rows of {describe(feed)}"
        reason = why_not_numbered(feed)
        if reason is not None:
            return reason
        rows = self._rows = NumberedRows(feed)
        if rows.is_fixed is False:
            return "its data are drawn anew in each epoch, as augmentation is"
        if rows.is_fixed is None and self.wanted == "auto":
            if self.speak and self.training and feed.was_peeked:
                # Read already: to read more could change what is drawn for it.
                self._doubt = perf_counter(), map_leaves(lambda t: t[:1], feed.peek()[0])
            return "nobody knows whether its data are the same in every epoch"
        return None

    def _make(self, uses: int) -> str | None:
        """Make features and train on them. Returns why not, where that cannot be."""
        if self.wanted == "auto" and self._batches_saved(uses) <= 0:
            return "that saves no time"
        position = self.passes.position(0)
        made = self._collected(uses)
        if isinstance(made, str):
            self._go_on(self._raw, None, position)
            return made
        collector, columns = made
        self._prefix = collector.prefix
        self._go_on(self._fed_by(collector, columns), collector.rest, position)
        if self.speak and self.training:
            rows, size = count_of(collector.rows.count, "row"), sum(c.nbytes for c in columns)
            say(f"fit: features of {rows} up to '{self._prefix.end}' cached: {told(size)}")
        return None

    def _collected(self, uses: int) -> tuple[Collector, list[torch.Tensor]] | str:
        """What made features, and columns of them; or why there are none."""
        prefix = self._split(self._raw.peek()[0])
        if prefix is None:
            return "no frozen part without randomness comes first in the model"
        assert self._rows is not None
        self._rows.forget()
        collector = Collector(self.plan, prefix, self._rows, self.training)
        reason = collector.trial()
        if reason is not None:
            return reason
        if self.wanted == "auto" and collector.seconds * self._batches_saved(uses) < WORTH:
            return "that saves too little time"
        try:
            return collector, collector.collect()
        except UnfitError as error:
            return str(error)

    def _fed_by(self, collector: Collector, columns: list[torch.Tensor]) -> Feed:
        """A feed of features and of what came beside the inputs."""
        left = iter(columns)
        features = tuple(next(left) for _ in range(collector.width))
        y, weight = map_leaves(lambda _: next(left), collector.beside)
        x = features[0] if len(features) == 1 else features
        short = collector.features if collector.rounds_short else None
        return collector.rows.replaced((x, y, weight), self.plan.device, short)

    def _go_on(self, feed: Feed, rest: Any, position: dict[str, Any]) -> None:
        """Go on at a place of the data, whatever was read of them since."""
        self.passes.feed, self.passes.rest = feed, rest
        self.passes.resume(position)

    def _split(self, x: Any) -> Prefix | None:
        plan = self.plan
        is_short = plan.is_plain and not has_hooks(plan.model.modules())
        opens = getattr(plan.model, "opens", None) if is_short else None
        first = arranged(plan, map_leaves(lambda t: t[:1], x))[0]
        with nullcontext() if self.training else evaluating(plan.model):
            return split(plan.model, first, opens)

    def _batches_saved(self, uses: int) -> int:
        """How many batches need not go through the first part, after those of the trial."""
        assert self._rows is not None
        made = math.ceil(self._rows.count / self._rows.size) + 1
        return uses * (self.passes.num_batches or 0) - made


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Draw none, whatever is read and begun again."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


def _numbers_in(module: torch.nn.Module) -> list[tuple[str, Any]]:
    kinds = (bool, int, float, str)
    own = [(k, v) for k, v in vars(module).items() if isinstance(v, kinds) and k[0] != "_"]
    return [item for item in own if item[0] != "stop_training"]
