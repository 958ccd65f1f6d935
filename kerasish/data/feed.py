"""Feeds: where batches come from. In-memory data is batched by indexing whole tensors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from kerasish.data.arrays import as_tensors, leaves, map_leaves
from kerasish.data.order import EpochSampler
from kerasish.data.shard import Shard
from kerasish.data.told_rows import Telling
from kerasish.data.transfer import Transfer
from kerasish.describe import describe

Batch = tuple[Any, Any, Any]  # x, y, sample_weight
Prepare = Callable[[Any, Any, Any], Batch]

# Rows are gathered in chunks of about this many bytes, then cut into batches that are views: one
# gather for many small batches, one for each large batch.
_CHUNK_BYTES = 1 << 19


class Feed:
    """A source of batches `(x, y, sample_weight)`, the same for every kind of data.

    Attributes:
        num_samples: How many rows a pass has, `None` if unknown.
        num_batches: How many batches a pass has, `None` if unknown.
        batch_size: Rows in a full batch, `None` if the source decides.
        first_epoch: The number of the first pass, whose first batch `peek` shows.
        passes_before: How many passes the model was trained on in earlier fits: what is random
            about samples goes on from there.
        in_tuples: Whether batches without targets come as tuples or lists of one.
        takes_any_rows: Whether parts of a ready batch may have rows of their own, as labelled and
            unlabelled images do for a `train_step` of one's own.
        telling: What to do while rows of a data set are read, from their numbers and the pass's.
        rows: Where several processes share the data: this one's rows in the latest batch, and the
            mean over all of them. `None` where it has all rows.
    """

    num_samples: int | None = None
    num_batches: int | None = None
    batch_size: int | None = None
    first_epoch: int = 0
    passes_before: int = 0
    in_tuples: bool = False
    takes_any_rows: bool = False
    telling: Telling | None = None
    rows: tuple[int, float] | None = None
    _shard: Shard | None = None
    _taken: int = 0  # batches that the next pass leaves out

    @property
    def holds_pixels(self) -> bool:
        """Whether the source says that it gives raw images, from 0 to 255, whatever their type."""
        return getattr(getattr(self, "_source", None), "holds_pixels", False)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One pass over the data. Its order depends on the feed's seed and `epoch` only."""
        raise NotImplementedError

    def peek(self) -> Batch:
        """The first batch, without using it up.

        Raises:
            ValueError: If there is none.
        """
        raise NotImplementedError

    def prepare(self, function: Prepare) -> None:
        """Put a function of rows between the data and the batches."""
        raise NotImplementedError

    def expect(self, count: int | None) -> None:
        """Hear how many more batches are going to be asked for; `None` for all of a pass."""

    def close(self) -> None:
        """End what goes on in the background."""

    def random_state(self) -> dict[str, Any]:
        """The CPU's random numbers as they would be had nothing been made ahead.

        Empty if they are so.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What decides the order of batches, for `resume`."""
        raise NotImplementedError

    def resume(self, epoch: int, taken: int, state: dict[str, Any]) -> None:
        """Let the next pass, which is that of `epoch`, begin after the batches taken already.

        Args:
            epoch: The number of the pass.
            taken: How many of its batches to leave out.
            state: What `state_dict` gave after them.
        """
        raise NotImplementedError

    @property
    def taken(self) -> int:
        """How many batches the next pass leaves out, since they were taken before."""
        return self._taken

    def numbers(self, epoch: int) -> Iterator[Tensor | None] | None:
        """The numbers in the data of each batch's rows, for the pass that `batches` gives next.

        To be asked for after the batch. `None` where the source does not tell.
        """
        return None

    def _counted(self, batches: Iterator[Batch], first: int) -> Iterator[Batch]:
        """The batches of a shard, with `rows` kept up to date."""
        assert self._shard is not None
        assert self.num_samples is not None
        for number, batch in enumerate(batches, first):
            self.rows = self._shard.rows(self.num_samples, self.batch_size or 1, number)
            yield batch

    def known_rows(self) -> tuple[Batch, bool]:
        """What can be looked at now: here the first batch; and whether these are all rows."""
        return self.peek(), False


class ArrayFeed(Feed):
    """Batches of arrays held in memory.

    Args:
        x: Inputs: a tensor, or a structure of tensors with the same number of rows.
        y: Targets, likewise, or `None`.
        sample_weight: One weight for each row, or a structure like `y`, or `None`.
        batch_size: Rows in a batch.
        shuffle: Whether to draw a new order each epoch; `"batch"` shuffles whole batches.
        seed: With the epoch's number, decides the order.
        device: Where batches are wanted.
        shard: The part of the rows that this process takes, where several train together.
        floats: What 64-bit floats become; by default the default float type.

    Raises:
        ValueError: If there are no rows, or the numbers of rows differ.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int = 32,
        shuffle: bool | str = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
        shard: Shard | None = None,
        floats: torch.dtype | None = None,
    ) -> None:
        self.batch_size = batch_size
        self._shard, self.shuffle = shard, shuffle
        self.device = torch.device(device)
        self._transfer = Transfer(self.device)
        named = ((x, "x"), (y, "y"), (sample_weight, "sample_weight"))
        self._set(*(as_tensors(value, name, floats) for value, name in named))
        self.num_samples = check_rows(self._structure)
        self._sampler = EpochSampler(self.num_samples, shuffle, seed, batch_size, shard)
        self.num_batches = math.ceil(len(self._sampler) / batch_size)

    def _set(self, x: Any, y: Any, weight: Any) -> None:
        self._structure = (x, y, weight)
        self._columns = [self._place(t) for t in leaves(self._structure)]
        self._is_plain = isinstance(x, Tensor) and all(
            value is None or isinstance(value, Tensor) for value in (y, weight)
        )

    def _place(self, tensor: Tensor) -> Tensor:
        """Keep a column on the device if it fits there easily, else where it is."""
        if self.device.type != "cuda":
            return tensor.to(self.device)
        free, _ = torch.cuda.mem_get_info(self.device)
        if tensor.nbytes < free // 5:
            return tensor.to(self.device)
        return tensor

    def prepare(self, function: Prepare) -> None:
        """Apply the function to all rows at once."""
        self._set(*function(*self._structure))

    def peek(self) -> Batch:
        """The first rows, in their given order."""
        size = self.batch_size
        return map_leaves(lambda t: t[:size].to(self.device), self._structure)  # type: ignore[return-value]

    def inputs(self, rows: Tensor) -> Any:
        """The inputs of some rows, by their numbers."""
        columns = iter(self._columns)
        return map_leaves(
            lambda _: self._send((column := next(columns))[rows.to(column.device)]),
            self._structure[0],
        )

    def known_rows(self) -> tuple[Batch, bool]:
        """All rows."""
        return self._structure, True

    def order(self, epoch: int) -> Tensor | None:
        """The order of rows in an epoch, `None` for the given order."""
        return None if self._sampler.is_given else self._sampler.order(epoch)

    def numbers(self, epoch: int) -> Iterator[Tensor]:
        """The rows' numbers in the arrays."""
        assert self.batch_size is not None
        return iter(self._sampler.order(epoch).split(self.batch_size)[self._taken :])

    def state_dict(self) -> dict[str, Any]:
        """The seed: with the epoch's number it decides the order."""
        return {"seed": self._sampler.seed}

    def resume(self, epoch: int, taken: int, state: dict[str, Any]) -> None:
        """Let the next pass begin at a row in the middle."""
        self._sampler.seed, self._taken = state["seed"], taken

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One pass over the rows."""
        order = self.order(epoch)
        assert self.batch_size is not None
        # Chunks are cut where a whole pass cuts them: kernels may round by where memory begins.
        taken, self._taken = self._taken, 0
        skipped, left = divmod(taken, self._chunk_rows(order) // self.batch_size)
        batches = self._batches(self._chunks(order, skipped))
        if left:
            batches = itertools.islice(batches, left, None)
        return batches if self._shard is None else self._counted(batches, taken)

    def _batches(self, chunks: Iterator[list[Tensor]]) -> Iterator[Batch]:
        assert self.batch_size is not None
        for columns in chunks:
            if len(columns[0]) <= self.batch_size:
                pieces = [(column,) for column in columns]
            else:
                pieces = [column.split(self.batch_size) for column in columns]
            if not self._is_plain:
                yield from map(self._rebuild, zip(*pieces, strict=True))
                continue
            nothing = itertools.repeat(None)
            _, y, weight = self._structure
            xs = pieces[0]
            ys = nothing if y is None else pieces[1]
            yield from zip(xs, ys, nothing if weight is None else pieces[-1], strict=False)

    def _chunk_rows(self, order: Tensor | None) -> int:
        """How many rows are gathered at a time; those of whole batches."""
        assert self.num_batches is not None
        assert self.batch_size is not None
        if order is None and all(c.device == self.device for c in self._columns):
            return self.num_batches * self.batch_size
        row_bytes = sum(c[:1].nbytes for c in self._columns)
        return self.batch_size * max(1, _CHUNK_BYTES // max(1, row_bytes * self.batch_size))

    def _chunks(self, order: Tensor | None, skipped: int) -> Iterator[list[Tensor]]:
        """The columns, reordered, in pieces of whole batches; the first are left out."""
        assert self.num_samples is not None
        rows = self._chunk_rows(order)
        if order is None:
            for start in range(skipped * rows, self.num_samples, rows):
                yield [self._send(c[start : start + rows]) for c in self._columns]
            return
        devices = {c.device for c in self._columns}
        orders = {device: order.to(device).split(rows)[skipped:] for device in devices}
        places = [(c, orders[c.device]) for c in self._columns]
        for number in range(len(next(iter(orders.values())))):
            yield [self._send(c.index_select(0, parts[number])) for c, parts in places]

    def _send(self, tensor: Tensor) -> Tensor:
        return self._transfer.send(tensor)

    def _rebuild(self, flat: tuple[Tensor, ...]) -> Batch:
        items = iter(flat)
        return map_leaves(lambda _: next(items), self._structure)  # type: ignore[return-value]


def check_rows(structure: Any) -> int:
    """The common number of rows of all tensors.

    Raises:
        ValueError: If there are none, or they differ.
    """
    counts = {len(tensor) for tensor in leaves(structure)}
    x, y, weight = structure
    if len(counts) > 1:
        named = [("x", x), ("y", y), ("sample_weight", weight)]
        told = ", ".join(f"{name}: {describe(v)}" for name, v in named if v is not None)
        raise ValueError(
            f"x, y and sample_weight must have the same number of rows, got {told}.{_hint(x)}"
        )
    count = counts.pop() if counts else 0
    if count == 0:
        raise ValueError(f"There are no rows in the data: x is {describe(x)}.")
    return count


def has_own_rows(x: Any) -> bool:
    """Whether inputs have different numbers of rows, as the nodes and the edges of graphs have."""
    return len({len(tensor) for tensor in leaves(x) if tensor.dim()}) > 1


def _hint(x: Any) -> str:
    """What to do about a list of rows, which looks like a list of inputs."""
    is_long = isinstance(x, (list, tuple)) and len(x) > 4
    if not is_long or len({tuple(t.shape) for t in leaves(x)}) > 1:
        return ""
    return f" A list of arrays stands for {len(x)} inputs; np.stack(x) makes one array of its rows."
