"""The features that the first part of a model makes of data: tried on a batch, then collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor

from kerasish.data.arrays import leaves, map_leaves
from kerasish.data.feed import Batch, Feed
from kerasish.data.random_state import generators_in, random_state
from kerasish.random import SeedGenerator
from kerasish.training.placement import autocast
from kerasish.training.plan import StepPlan
from kerasish.training.prefix import Prefix
from kerasish.training.preflight.probe import unchanged
from kerasish.training.storage import make_room

Features = tuple[Tensor, ...]

# Rows whose features are made again in other company, and in a small batch.
_SHARED, _FEW = 8, 4


class UnfitError(Exception):
    """Why there can be no features after all."""


class Reader(Protocol):
    """What gives rows by their numbers.

    Attributes:
        count: How many there are.
        size: Rows in a full batch.
        short: Rows in the last batch of a pass where it is not full, else 0.
        is_fixed: Whether they are the same whenever they are read; `None` where nobody knows.
    """

    count: int
    size: int
    short: int
    is_fixed: bool | None

    def read(self, rows: Tensor) -> Batch:
        """The rows of these numbers, ready for the model. Targets may be left out."""
        ...

    def read_all(self, orders: list[Tensor]) -> Iterator[Batch]:
        """A batch for each list of numbers; all lists but the last have one length."""
        ...

    def forget(self) -> None:
        """Drop a pass that others may have begun."""
        ...

    def replaced(
        self, columns: Batch, device: torch.device, short: Callable[[Any], Any] | None
    ) -> Feed:
        """A feed of columns in the order in which these rows come.

        Args:
            columns: What takes the place of all inputs; and of what came beside them, if it was
                read.
            device: Where batches are wanted.
            short: Computes the features of a last, short batch anew, if kernels for a few rows
                round differently from those that made the features.
        """
        ...


class Collector:
    """Makes features of rows, and outputs of features.

    Args:
        plan: How the model computes.
        prefix: The model in two parts.
        rows: The data.
        mode: Whether the model is in training mode.

    Attributes:
        seconds: What a full batch takes, after `trial`.
        rounds_short: Whether kernels round differently for the short last batch, after `trial`.
        beside: The structure of what comes with the inputs, targets and weights, after `trial`.
    """

    def __init__(self, plan: StepPlan, prefix: Prefix, rows: Reader, mode: bool) -> None:
        self.plan, self.prefix, self.rows, self.mode = plan, prefix, rows, mode
        self.seconds = 0.0
        self.rounds_short = False
        self.beside: Any = None
        self._axes: list[tuple[int, ...]] = []
        self._made: list[list[Tensor]] = []  # columns of the first rows, from the trial
        self._few_is_same = False  # as many as a few rows round as a full batch does

    def run(self, x: Any) -> Features:
        """The features of a batch, their axes in the order in which memory holds them."""
        with torch.no_grad(), autocast(self.plan.recipe, self.plan.device):
            found = self.prefix.first(*arranged(self.plan, x))
        if not self._axes:
            self._axes = [_axes_in_memory(tensor) for tensor in found]
        return tuple(t.permute(axes) for t, axes in zip(found, self._axes, strict=True))

    @property
    def width(self) -> int:
        """How many tensors the features of a batch are."""
        return len(self._axes)

    def features(self, x: Any) -> Any:
        """What `run` gives, as a feed holds it: one tensor, or a tuple of several."""
        found = self.run(x)
        return found[0] if len(found) == 1 else found

    def rest(self, features: Any) -> Any:
        """The model's outputs for features."""
        parts = zip(leaves(features), self._axes, strict=True)
        return self.prefix.rest(*(t.permute(_inverse(axes)) for t, axes in parts))

    # The trial

    def trial(self) -> str | None:
        """Try the first rows. Returns what speaks against features, `None` if nothing does.

        Whether features may stand for what a batch would compute is measured, not assumed: each
        row's must be the same bits in whatever company it comes, and the outputs, too. What is
        made of rows here is kept for `collect`.
        """
        try:
            with unchanged(self.plan):
                self._set_mode()
                x = self._try_one_batch()
                self._try_other_company(x)
                features = self._try_small_batches(x)
        except UnfitError as problem:
            return str(problem)
        few = _first_rows(x, _FEW)
        if not _same(self._outputs(few, None), self._outputs(None, features)):
            return "its code could not be parted without changing what it computes"
        return None

    def _try_one_batch(self) -> Any:
        """Read the first batch and run it, and see that nothing else changes. Returns its inputs.

        Raises:
            UnfitError: If something does.
        """
        drawn = _random_bytes()
        batch = self.rows.read(torch.arange(self.rows.size))
        if _random_bytes() != drawn:
            raise UnfitError("reading its data draws random numbers")
        x = _first_rows(batch[0], self.rows.size)  # the model may work in place
        self.beside = map_leaves(lambda _: 0, batch[1:])
        before = self._state()
        self._made = [self._columns(batch, self.rows.size)]
        if self._state() != before:
            raise UnfitError("the frozen part draws random numbers or changes its state")
        if any(getattr(module, "_losses", None) for module in self.prefix.modules):
            raise UnfitError("the frozen part adds to the loss")
        return x

    def _try_other_company(self, x: Any) -> None:
        """Run some rows of the first batch at other places among new rows.

        Raises:
            UnfitError: If anything differs.
        """
        size, count = self.rows.size, self.rows.count
        rows = second_batch(count, size, _shared_rows(count, size))
        is_known = rows < size
        known = rows[is_known]
        began = perf_counter()
        batch = self.rows.read(rows)
        again = map_leaves(lambda t: t[is_known.to(t.device)], batch[0])
        columns = self._columns(batch, size)
        self.seconds = self._now() - began
        if not self.rows.is_fixed:
            _check_same_rows(again, x, known)
            beside = self.width
            _check_same_rows([c[is_known] for c in columns[beside:]], self._made[0][beside:], known)
        if not all(
            torch.equal(c[is_known.to(c.device)], w[known.to(w.device)])
            for c, w in zip(columns, self._made[0], strict=True)
        ):
            raise UnfitError("its features depend on the other rows of a batch")
        places = (~is_known).nonzero().squeeze(1)
        self._made.append([c[places.to(c.device)] for c in columns])

    def _try_small_batches(self, x: Any) -> Features:
        """See whether a few rows round as a full batch does. Returns the features of a few."""
        whole = self._made[0][: self.width]
        features = self.run(_first_rows(x, _FEW))
        self._few_is_same = _same(features, [t[:_FEW] for t in whole])
        short = self.rows.short
        if short == _FEW:
            self.rounds_short = not self._few_is_same
        elif short:
            self.rounds_short = not _same(
                self.run(_first_rows(x, short)), [t[:short] for t in whole]
            )
        return features

    def _columns(self, batch: Batch, count: int) -> list[Tensor]:
        """A batch's features, and what comes beside its inputs.

        Raises:
            UnfitError: If it has not so many rows.
        """
        if {len(tensor) for tensor in leaves(batch[0])} != {count}:
            raise UnfitError("some rows of its data cannot be read")
        beside = list(leaves(batch[1:]))
        if any(not tensor.dim() or len(tensor) != count for tensor in beside):
            raise UnfitError("its data have targets or weights that belong to no row")
        return [*self.run(batch[0]), *beside]

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
        state = map_leaves(_as_bytes, [drawn, [seed.state for seed in seeds]])
        return _random_bytes(), state, checksum(self.prefix.tensors)

    # All rows

    def collect(self) -> list[Tensor]:
        """The features of all rows, then what comes beside the inputs, a column for each tensor.

        Raises:
            UnfitError: If there is no room for them, or some cannot be read.
        """
        count = self.rows.count
        first = self._made[0]
        try:
            room = make_room([(count, *t.shape[1:]) for t in first], [t.dtype for t in first])
        except OSError as error:
            raise UnfitError(str(error)) from error
        place = 0
        with unchanged(self.plan):
            self._set_mode()
            for columns in self._all_columns():
                taken = min(len(columns[0]), count - place)
                for column, tensor in zip(room, columns, strict=True):
                    column[place : place + taken].copy_(tensor[:taken])
                place += taken
        return room

    def _all_columns(self) -> Iterator[list[Tensor]]:
        """What belongs to all rows in their order, from the first on."""
        yield from self._made
        begin = sum(len(columns[0]) for columns in self._made)
        self._made = []
        left = torch.arange(begin, self.rows.count)
        size, over = self.rows.size, len(left) % self.rows.size
        if over and not (self._few_is_same and over == _SHARED):
            # Filled up: kernels for another number of rows may round differently.
            left, over = torch.cat([left, torch.arange(size - over)]), 0
        for part, rows in ((left[: len(left) - over], size), (left[len(left) - over :], _FEW)):
            orders = list(part.split(rows)) if len(part) else []
            for order, batch in zip(orders, self.rows.read_all(orders), strict=True):
                yield self._columns(batch, len(order))


def second_batch(count: int, size: int, known: int) -> Tensor:
    """Which rows come second: some of the first batch, far from their places there, and new ones.

    Args:
        count: How many rows there are.
        size: Rows in a batch; the first has the rows from 0 on.
        known: How many of those are taken again, or more if there are too few others.

    Example:
        >>> second_batch(100, 6, 2)
        tensor([5, 6, 7, 8, 9, 0])
    """
    rows = torch.arange(size).flip(0)
    places = torch.arange(known) * (size - 1) // max(1, known - 1)
    free = torch.ones(size, dtype=torch.bool)
    free[places] = False
    rows[places] = places.flip(0)
    new = torch.arange(size, min(count, 2 * size - known))
    rows[free.nonzero().squeeze(1)[: len(new)]] = new
    return rows


def _shared_rows(count: int, size: int) -> int:
    """How many rows the first two batches share.

    The last batch would lack so many rows, or as many less eight: those are left for small batches.
    """
    missing = -count % size
    return missing if missing >= _SHARED else min(size, missing + _SHARED)


def _check_same_rows(again: Any, first: Any, rows: Tensor) -> None:
    """See that rows are what they were when they were read before.

    Raises:
        UnfitError: If they are not.
    """
    before = map_leaves(lambda t: t[rows.to(t.device)], first)
    if not _same(again, before):
        raise UnfitError("its data differ when they are read again")


def _first_rows(x: Any, count: int) -> Any:
    return map_leaves(lambda tensor: tensor[:count].clone(), x)


def _random_bytes() -> Any:
    return map_leaves(_as_bytes, random_state())


def arranged(plan: StepPlan, x: Any) -> list[Tensor]:
    """A batch of inputs as the model's placeholders take them."""
    x = plan.cast(x)
    arrange = getattr(plan.model, "_arrange", None)
    return list(leaves(x)) if arrange is None else list(arrange((x,)))


def checksum(tensors: list[Tensor]) -> list[int]:
    """Numbers that change with any bit of the tensors."""
    sums = []
    for tensor in tensors:
        numbers = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
        begin = min(len(numbers), -numbers.storage_offset() % 8)
        end = begin + (len(numbers) - begin) // 8 * 8
        # Sums of 64-bit numbers are ten times as fast as those of smaller ones, which are widened.
        whole = numbers[begin:end].view(torch.int64) if begin < end else numbers[:0]
        sums += [part.sum() for part in (numbers[:begin], whole, numbers[end:]) if len(part)]
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
