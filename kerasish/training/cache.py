"""Training the rest of a model on what its frozen part made of the data, once for all epochs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from kerasish.callbacks.console import say
from kerasish.data.feed import ArrayFeed, Batch
from kerasish.describe import count_of, describe
from kerasish.graph.expand import has_hooks
from kerasish.training.collect import Collector, arranged, checksum
from kerasish.training.loop import Passes
from kerasish.training.prefix import Prefix, split
from kerasish.training.step import StepPlan
from kerasish.training.storage import told

# Seconds that features must save to be worth their memory.
WORTH = 0.25


def check_cache_frozen(value: Any) -> None:
    """Refuse what is no answer.

    Raises:
        ValueError: If it is none of `"auto"`, `True` and `False`.
    """
    if not isinstance(value, bool) and value != "auto":
        raise ValueError(f'`cache_frozen` must be "auto", True or False, got {describe(value)}.')


class FeatureFeed(ArrayFeed):
    """Batches of features in the place of another feed's inputs, in the same order.

    Args:
        feed: The feed whose targets, weights and order are taken over.
        features: One row for each of its rows; a tensor or a tuple of them.
        short: Computes the features of a last, short batch anew, if kernels for a few rows round
            differently from those that made the features.
    """

    def __init__(
        self, feed: ArrayFeed, features: Any, short: Callable[[Any], Any] | None = None
    ) -> None:
        vars(self).update(vars(feed))
        self._raw, self._short = feed, short
        self._set(features, *feed._structure[1:])

    def order(self, epoch: int) -> Tensor:
        """The order of rows in an epoch."""
        order = super().order(epoch)
        # Always gathered: a batch then begins at an even address and may be changed in place.
        return torch.arange(self._num_rows) if order is None else order

    def _chunk_rows(self, order: Tensor | None) -> int:
        assert self.batch_size is not None
        return self.batch_size

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One pass over the rows."""
        taken = self._taken
        batches = super().batches(epoch)
        return batches if self._short is None else self._with_short(batches, taken, epoch)

    def _with_short(self, batches: Iterator[Batch], taken: int, epoch: int) -> Iterator[Batch]:
        assert self.batch_size is not None
        assert self.num_batches is not None
        assert self._short is not None
        for number, batch in enumerate(batches, taken):
            if number < self.num_batches - 1:
                yield batch
            else:
                rows = self.order(epoch)[number * self.batch_size :]
                yield (self._short(self._raw.inputs(rows)), *batch[1:])


class ArrayRows:
    """Rows of a feed of arrays by their numbers: inputs only.

    Args:
        feed: The feed.
    """

    may_differ = False

    def __init__(self, feed: ArrayFeed) -> None:
        assert feed.num_samples is not None
        assert feed.batch_size is not None
        self.feed, self.count = feed, feed.num_samples
        self.size = min(feed.batch_size, self.count)
        self.short = self.count % self.size

    def read(self, rows: Tensor) -> Batch:
        """The rows of these numbers."""
        return self.feed.inputs(rows), None, None

    def read_all(self, orders: list[Tensor]) -> Iterator[Batch]:
        """A batch for each list of numbers."""
        return map(self.read, orders)


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

    def refresh(self, uses: int) -> None:
        """Make features, or give them up, where freezing, weights or hooks have changed.

        Args:
            uses: How many passes are still to come.

        Raises:
            ValueError: If features were asked for and cannot be made.
        """
        if self._prefix is None and self.wanted == "auto" and not self._has_frozen():
            return
        if self._state is not None and self._state == self._current_state():
            return
        is_first = self._state is None
        self._prefix = None
        if self.passes.rest is not None:
            self.passes.switch(self._raw, None)
        reason = self._why_not() or (self._make(uses) if uses > 1 else None)
        if reason and is_first and self.training and self.wanted is True:
            raise ValueError(f"fit: cache_frozen=True, but {reason}.")
        self._state = self._current_state()

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
        if type(self._raw) is not ArrayFeed:
            return "only arrays in memory are sure to be the same in every epoch"
        return None

    def _make(self, uses: int) -> str | None:
        """Make features and train on them. Returns why not, where that cannot be."""
        if self.wanted == "auto" and self._batches_saved(uses) <= 0:
            return "that saves no time"
        prefix = self._split()
        if prefix is None:
            return "no frozen part without randomness comes first in the model"
        collector = Collector(self.plan, prefix, ArrayRows(self._raw), self.training)
        reason = collector.trial()
        if reason is not None:
            return reason
        if self.wanted == "auto" and collector.seconds * self._batches_saved(uses) < WORTH:
            return "that saves too little time"
        try:
            columns = collector.collect()
        except OSError as error:
            return str(error)
        self._prefix = prefix
        features = columns[0] if len(columns) == 1 else columns
        short = collector.features if collector.rounds_short else None
        self.passes.switch(FeatureFeed(self._raw, features, short), collector.rest)
        if self.speak and self.training:
            rows, size = count_of(collector.rows.count, "row"), sum(c.nbytes for c in columns)
            say(f"fit: features of {rows} up to '{prefix.end}' cached: {told(size)}")
        return None

    def _split(self) -> Prefix | None:
        plan = self.plan
        is_short = plan.is_plain and not has_hooks(plan.model.modules())
        opens = getattr(plan.model, "opens", None) if is_short else None
        mode = plan.model.training
        x = arranged(plan, self._raw.inputs(torch.zeros(1, dtype=torch.long)))
        if self.training:
            return split(plan.model, x[0], opens)
        plan.model.eval()
        try:
            return split(plan.model, x[0], opens)
        finally:
            plan.model.train(mode)

    def _batches_saved(self, uses: int) -> int:
        """How many batches need not go through the first part, after those of the trial."""
        made = self._raw.num_batches + 1
        return uses * (self.passes.num_batches or 0) - made


def _numbers_in(module: torch.nn.Module) -> list[tuple[str, Any]]:
    kinds = (bool, int, float, str)
    own = [(k, v) for k, v in vars(module).items() if isinstance(v, kinds) and k[0] != "_"]
    return [item for item in own if item[0] != "stop_training"]
