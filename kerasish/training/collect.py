"""The features that the first part of a model makes of data: tried on a batch, then collected."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from kerasish.data.arrays import leaves, map_leaves
from kerasish.data.feed import ArrayFeed
from kerasish.data.random_state import generators_in, random_state
from kerasish.random import SeedGenerator
from kerasish.training.placement import autocast
from kerasish.training.prefix import Prefix
from kerasish.training.preflight.probe import unchanged
from kerasish.training.step import StepPlan
from kerasish.training.storage import make_room

Features = tuple[Tensor, ...]

# Rows of which outputs are computed in both ways, to be compared.
_FEW = 4


class Collector:
    """Makes features of the rows of a feed, and outputs of features.

    Args:
        plan: How the model computes.
        prefix: The model in two parts.
        feed: The rows.
        mode: Whether the model is in training mode.

    Attributes:
        seconds: What a full batch takes, after `trial`.
        rounds_short: Whether kernels round differently for the short last batch, after `trial`.
    """

    def __init__(self, plan: StepPlan, prefix: Prefix, feed: ArrayFeed, mode: bool) -> None:
        assert feed.num_samples is not None
        assert feed.batch_size is not None
        self.plan, self.prefix, self.feed, self.mode = plan, prefix, feed, mode
        self.rows = feed.num_samples
        self.size = min(feed.batch_size, self.rows)
        self.seconds = 0.0
        self.rounds_short = False
        self._axes: list[tuple[int, ...]] = []
        self._first: Features = ()  # of the first batch, which the trial makes

    def run(self, x: Any) -> Features:
        """The features of a batch, their axes in the order in which memory holds them."""
        with torch.no_grad(), autocast(self.plan.recipe, self.plan.device):
            found = self.prefix.first(*arranged(self.plan, x))
        if not self._axes:
            self._axes = [_axes_in_memory(tensor) for tensor in found]
        return tuple(t.permute(axes) for t, axes in zip(found, self._axes, strict=True))

    def features(self, x: Any) -> Any:
        """What `run` gives, as a feed holds it: one tensor, or a tuple of several."""
        found = self.run(x)
        return found[0] if len(found) == 1 else found

    def rest(self, features: Any) -> Any:
        """The model's outputs for features."""
        parts = zip(leaves(features), self._axes, strict=True)
        return self.prefix.rest(*(t.permute(_inverse(axes)) for t, axes in parts))

    def trial(self) -> str | None:
        """Try a few batches. Returns what speaks against features, `None` if nothing does.

        Whether features may stand for what a batch would compute is measured, not assumed: each
        row's must be the same bits in whatever company it comes, and the outputs, too.
        """
        some = torch.arange(self.size)
        x = self.feed.inputs(some)
        with unchanged(self.plan):
            self._set_mode()
            before = self._state()
            whole = self.run(x)
            if self._state() != before:
                return "the frozen part draws random numbers or changes its state"
            if any(getattr(module, "_losses", None) for module in self.prefix.modules):
                return "the frozen part adds to the loss"
            began = perf_counter()
            mixed, places = self._in_other_company(some)
            self.seconds = self._now() - began
            if not all(torch.equal(m, w[places]) for m, w in zip(mixed, whole, strict=True)):
                return "its features depend on the other rows of a batch"
            self.rounds_short = self._differs_when_short(whole)
            self._first = whole
            few = self.feed.inputs(some[:_FEW])
            features = self.run(few)
        if not _same(self._outputs(few, None), self._outputs(None, features)):
            return "its code could not be parted without changing what it computes"
        return None

    def _in_other_company(self, some: Tensor) -> tuple[Features, Tensor]:
        """Features of some of the first rows among others, and which rows they are."""
        generator = torch.Generator().manual_seed(0)
        rows = torch.randperm(min(self.rows, 2 * self.size), generator=generator)[: self.size]
        found = self.run(self.feed.inputs(rows))
        known = rows < len(some)
        return tuple(t[known] for t in found), rows[known]

    def _differs_when_short(self, whole: Features) -> bool:
        short = self.rows % self.size
        if not short:
            return False
        found = self.run(self.feed.inputs(torch.arange(short)))
        return not all(torch.equal(f, w[:short]) for f, w in zip(found, whole, strict=True))

    def _outputs(self, x: Any, features: Features | None) -> Any:
        with unchanged(self.plan), torch.no_grad():
            self._set_mode()
            if features is None:
                return self.plan.run_model(x)[0]
            with autocast(self.plan.recipe, self.plan.device):
                return self.rest(features)

    def _set_mode(self) -> None:
        if not self.mode:
            self.plan.model.eval()

    def _now(self) -> float:
        if self.plan.device.type == "cuda":
            torch.cuda.synchronize(self.plan.device)
        return perf_counter()

    def _state(self) -> Any:
        """All that drawing random numbers or gathering statistics would change."""
        modules = list(self.plan.model.modules())
        seeds = [s for m in modules for s in vars(m).values() if isinstance(s, SeedGenerator)]
        drawn = [generator.get_state() for generator in generators_in(modules)]
        state = [random_state(), drawn, [seed.state for seed in seeds]]
        return map_leaves(_as_bytes, state), checksum(self.prefix.tensors)

    def collect(self) -> Features:
        """The features of all rows, in batches of one size.

        Raises:
            OSError: If there is no room for them.
        """
        room: list[Tensor] = []
        with unchanged(self.plan):
            self._set_mode()
            for start in range(0, self.rows, self.size):
                # A short last batch is filled up: kernels for another size may round differently.
                rows = torch.arange(start, start + self.size) % self.rows
                found = self._first if not start else self.run(self.feed.inputs(rows))
                if not room:
                    shapes = [(self.rows, *tensor.shape[1:]) for tensor in found]
                    room = make_room(shapes, [tensor.dtype for tensor in found])
                for column, tensor in zip(room, found, strict=True):
                    part = column[start : start + self.size]
                    part.copy_(tensor[: len(part)])
        return tuple(room)


def arranged(plan: StepPlan, x: Any) -> list[Tensor]:
    """A batch of inputs as the model's placeholders take them."""
    x = plan.cast(x)
    arrange = getattr(plan.model, "_arrange", None)
    return list(leaves(x)) if arrange is None else list(arrange((x,)))


def checksum(tensors: list[Tensor]) -> list[int]:
    """A number for each tensor that changes with any of its bits."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = []
    for tensor in tensors:
        bits = tensor.detach().contiguous().reshape(-1)
        kind = kinds.get(bits.element_size(), torch.uint8)
        sums.append(bits.view(kind).sum() if bits.numel() else torch.zeros((), dtype=torch.int64))
    return [int(value) for value in sums]


def _axes_in_memory(tensor: Tensor) -> tuple[int, ...]:
    """The axes from the one whose steps are largest on; rows stay first."""
    order = sorted(range(1, tensor.dim()), key=lambda axis: -tensor.stride(axis))
    is_ordered = tensor.permute(0, *order).is_contiguous()
    return (0, *order) if is_ordered else tuple(range(tensor.dim()))


def _inverse(axes: tuple[int, ...]) -> list[int]:
    return sorted(range(len(axes)), key=axes.__getitem__)


def _same(first: Any, second: Any) -> bool:
    pairs = list(leaves(first)), list(leaves(second))
    return len(pairs[0]) == len(pairs[1]) and all(map(torch.equal, *pairs))


def _as_bytes(value: Any) -> Any:
    return value.cpu().numpy().tobytes() if isinstance(value, Tensor) else value
