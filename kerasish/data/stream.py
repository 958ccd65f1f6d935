"""Feeds of data that comes batch by batch: datasets, loaders, generators, any iterable."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from kerasish.data.arrays import as_tensors, leaves
from kerasish.data.batch_source import ReadyLoader, as_source
from kerasish.data.by_number import batches_by_number
from kerasish.data.feed import Batch, Feed, Prepare, check_rows, has_own_rows
from kerasish.data.followed import Listener, followed
from kerasish.data.lookahead import Lookahead
from kerasish.data.order import EpochSampler, mix_seed
from kerasish.data.random_state import generators_in, random_state, set_random_state
from kerasish.data.shard import Shard
from kerasish.data.told_rows import ToldRows, telling_rows
from kerasish.data.transfer import Transfer
from kerasish.describe import describe, users_level


def rows_of_dataset(source: Any) -> Batch | None:
    """The tensors of a `TensorDataset` as `(x, y, weight)`; `None` for anything else."""
    if type(source) is TensorDataset and 1 <= len(source.tensors) <= 3:
        padded = (*source.tensors, None, None)
        return padded[0], padded[1], padded[2]
    return None


class StreamFeed(Feed):
    """Batches from a `Dataset`, `DataLoader`, generator or iterable.

    Args:
        source: A torch `Dataset` is batched here; anything else yields ready batches: `x`,
            `(x, y)` or `(x, y, sample_weight)`.
        batch_size: Rows in a batch, for a `Dataset`; 32 by default.
        shuffle: Whether to draw a new order each epoch: of rows for a `Dataset`, of batches for a
            `PyDataset`.
        seed: With the epoch's number, decides the order.
        device: Where batches are wanted.
        shard: The part of a `Dataset`'s rows that this process takes, where several train together.
        floats: What 64-bit floats become; by default the default float type.

    Raises:
        TypeError: If the source cannot be iterated.
    """

    def __init__(
        self,
        source: Any,
        *,
        batch_size: int | None = None,
        shuffle: bool | str = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
        shard: Shard | None = None,
        floats: torch.dtype | None = None,
    ) -> None:
        self._transfer = Transfer(device)
        self._floats = floats
        self._prepare: Prepare | None = None
        self._sampler: EpochSampler | None = None
        self._begun: Iterator[Any] | None = None  # a pass that the next call of batches takes over
        self._peeked: Any = None  # its first batch
        self._random_before: dict[str, Any] | None = None
        self._epoch = 0  # of the latest pass
        self._starts_workers = True  # whether the latest pass did, of a loader
        self._listener: Listener | None = None  # to a loader's sampler, in the latest pass
        self._asked = False  # whether somebody wants to know the rows of the next pass
        if isinstance(source, Dataset):
            source = self._loader(source, batch_size or 32, bool(shuffle), seed, shard)
        elif batch_size not in (None, getattr(source, "batch_size", None)):
            warnings.warn(
                f"`batch_size` has no effect on {describe(source)}, which makes its own batches. "
                "Leave it out.",
                stacklevel=users_level(),
            )
        if shard is not None and self._shard is None:
            _warn_unless_parted(source)
        self._source: Any = source
        self._seed = seed if shuffle and is_py_dataset(source) else None
        self.is_one_shot = isinstance(source, Iterator)
        self.num_batches = _length(source)
        if isinstance(source, DataLoader):
            self.batch_size = source.batch_size
            if hasattr(source.dataset, "__len__") and not isinstance(
                source.dataset, IterableDataset
            ):
                self.num_samples = len(source.dataset)  # type: ignore[arg-type]

        self._lookahead = Lookahead(
            self._collect, self._transfer, _declared(source), self._generators
        )

    def _loader(
        self, data: Dataset, batch_size: int, shuffle: bool, seed: int, shard: Shard | None
    ) -> DataLoader:
        if isinstance(data, IterableDataset):
            return DataLoader(data, batch_size=batch_size)
        self._shard = shard
        count = len(data)  # type: ignore[arg-type]
        self._sampler = EpochSampler(count, shuffle, seed, batch_size, shard)
        order = self._sampler
        source = as_source(data)
        if source is None:
            return DataLoader(data, batch_size=batch_size, sampler=order)
        return ReadyLoader(source, batch_size, order)

    @property
    def holds_pixels(self) -> bool:
        """Whether the source says so; a loader of someone else's may have changed the values."""
        source = self._source
        if self._sampler is not None:
            source = getattr(source.dataset, "source", source.dataset)
        return getattr(source, "holds_pixels", False)

    def prepare(self, function: Prepare) -> None:
        """Apply the function to each batch as it comes."""
        before = self._prepare
        self._prepare = function if before is None else _in_turn(before, function)

    @property
    def was_peeked(self) -> bool:
        """Whether the first batch of the next pass has been read."""
        return self._peeked is not None

    def forget_begun(self) -> None:
        """Drop a pass that has begun, so that nobody else reads; `resume` begins it again."""
        self.close()
        self._begun = self._peeked = None

    def peek(self) -> Batch:
        """The first batch; the next pass begins with it."""
        if self._peeked is None:
            iterator = self._iterate(self.first_epoch) if self._begun is None else self._begun
            self._peeked = next(iterator, None)
            if self._peeked is None:
                raise ValueError(f"There are no batches in {describe(self._source)}.")
            self._begun = itertools.chain([self._peeked], iterator)
        return self._ready(self._peeked)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One pass over the source."""
        self.close()
        iterator = self._iterate(epoch) if self._begun is None else self._begun
        first, self._taken = self._taken, 0
        self._begun = self._peeked = None
        asked, self._asked = self._asked, False
        if self._listener is not None and not asked:
            self._listener.stop()
        ready = self._prepared(self._lookahead.batches(iter(iterator)))
        yield from ready if self._shard is None else self._counted(ready, first)
        if hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()

    def expect(self, count: int | None) -> None:
        """Hear how many more batches are going to be asked for."""
        self._lookahead.left = count

    def close(self) -> None:
        """End the thread that makes batches ahead, if there is one."""
        self._lookahead.close()

    def random_state(self) -> dict[str, Any]:
        """The CPU's random numbers as they would be had nothing been made ahead."""
        state = self._lookahead.random_state()
        return {name: value for name, value in state.items() if name != "generators"}

    def numbers(self, epoch: int) -> Iterator[Tensor | None]:
        """The rows' numbers in a `Dataset`, batched here or by a loader that can be followed."""
        if self._sampler is None:
            self._asked = True
            return itertools.islice(self._heard(), self._taken, None)
        # A pass that has begun keeps the number that it began with.
        epoch = epoch if self._begun is None else self._epoch
        return iter(self._sampler.order(epoch).split(self._sampler.batch_size)[self._taken :])

    def _heard(self) -> Iterator[Tensor | None]:
        while (listener := self._listener) is not None:
            yield listener.next()

    def state_dict(self) -> dict[str, Any]:
        """What decides the order: our seed, or all that the source may draw from.

        A source that shuffles by itself repeats its order when its pass begins with the random
        numbers with which it began before.
        """
        own = [generator.get_state() for generator in self._generators()]
        return {
            "seed": self._seed if self._sampler is None else self._sampler.seed,
            "has_begun": self._begun is not None,
            "random_before": self._random_before,
            "starts_workers": self._starts_workers,
            "epoch": self._epoch,
            "generators": self._lookahead.random_state().get("generators", own),
        }

    def resume(self, epoch: int, taken: int, state: dict[str, Any]) -> None:
        """Begin a pass as it began before, and leave out the batches taken already."""
        if self._sampler is not None:
            self._sampler.seed = state["seed"]
        else:
            self._seed = state["seed"]
        self._taken = taken
        if self.is_one_shot:
            _skip(iter(self._source) if self._begun is None else self._begun, taken)
            self._peeked = None
            return
        self._begun = self._peeked = None
        if taken or state["has_begun"]:
            if state.get("starts_workers") and hasattr(self._source, "_iterator"):
                self._source._iterator = None  # workers that live on, whose start draws a number
            self._begin_again(state["epoch"], taken, state["random_before"])
        for generator, value in zip(self._generators(), state["generators"], strict=False):
            generator.set_state(value)

    def _begin_again(self, epoch: int, taken: int, random_before: dict[str, Any]) -> None:
        set_random_state(random_before)
        values = random_before["generators"]
        for generator, value in zip(self._generators(), values, strict=False):
            generator.set_state(value)
        if self._sampler is not None:
            assert self.batch_size is not None
            # Rows that are left out this way are not even read.
            self._sampler.first = taken * self.batch_size
        self._begun = self._iterate(epoch)
        if self._sampler is None:
            _skip(self._begun, taken)
        if not taken:
            self.peek()

    def _generators(self) -> list[torch.Generator]:
        """The generators of its own that a loader draws from."""
        source = self._source
        batches = getattr(source, "batch_sampler", None)
        sampler = getattr(source, "sampler", None)
        inner = getattr(batches, "sampler", None)
        return generators_in([source, sampler, batches, inner, getattr(source, "dataset", None)])

    def _iterate(self, epoch: int) -> Iterator[Any]:
        states = [generator.get_state() for generator in self._generators()]
        self._random_before = {**random_state(), "generators": states}
        self._starts_workers = getattr(self._source, "_iterator", None) is None
        self._epoch = epoch
        reached = self.passes_before + epoch
        if self._sampler is not None:
            self._sampler.epoch = epoch
            if isinstance(self._source, ReadyLoader):
                self._source.set_epoch(reached)
        elif hasattr(getattr(self._source, "sampler", None), "set_epoch"):
            self._source.sampler.set_epoch(reached)
        if hasattr(getattr(self._source, "dataset", None), "set_epoch"):
            self._source.dataset.set_epoch(reached)  # type: ignore[attr-defined]  # it shuffles itself
        if not isinstance(self._source, Iterable) or hasattr(self._source, "on_epoch_end"):
            return self._by_index(epoch)
        source = self._source
        if self._sampler is None:
            source, self._listener = followed(source)
        if self.telling is not None:
            source = telling_rows(source, reached, self.telling)
        return iter(source)

    def _by_index(self, epoch: int) -> Iterator[Any]:
        """Keras's PyDataset: batches by number, and as in Keras those are shuffled."""
        if hasattr(self._source, "on_epoch_begin"):
            self._source.on_epoch_begin()
        numbers: Sequence[int] = range(len(self._source))
        if self._seed is not None:
            generator = torch.Generator().manual_seed(mix_seed(self._seed, epoch))
            numbers = torch.randperm(len(numbers), generator=generator).tolist()
        told = None
        if self.telling is not None:
            told = ToldRows(self._source, self.passes_before + epoch, self.telling)
        return batches_by_number(self._source, numbers, told)

    def _ready(self, item: Any) -> Batch:
        return next(self._prepared(iter([self._transfer.send(self._collect(item))])))

    def _prepared(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        return batches if self._prepare is None else itertools.starmap(self._prepare, batches)

    def _collect(self, item: Any) -> Batch:
        """What the source yields, as tensors where they are."""
        x, y, weight = split_batch(item)
        self.in_tuples = isinstance(item, (tuple, list)) and len(item) == 1
        named = ((x, "x"), (y, "y"), (weight, "sample_weight"))
        batch = tuple(as_tensors(value, name, self._floats) for value, name in named)
        if not self.takes_any_rows:
            _check_alignment(batch)
        return batch  # type: ignore[return-value]


def check_source(source: Any) -> None:
    """Refuse what cannot yield batches.

    Raises:
        TypeError: If it cannot.
    """
    yields = isinstance(source, Iterable) or hasattr(source, "__getitem__")
    if hasattr(source, "collect") and hasattr(source, "lazy"):
        raise TypeError(f"{describe(source)} has not been computed. Pass its .collect().")
    if hasattr(source, "toarray"):
        raise TypeError(
            f"{describe(source)} is sparse, and layers take whole rows. Pass its .toarray(), or a "
            "generator that turns a batch of its rows into an array at a time."
        )
    if not yields or isinstance(source, (str, bytes, type)):
        hint = " Call it, with parentheses." if callable(source) else ""
        raise TypeError(
            "x must be arrays, tensors, a Dataset, a DataLoader, a generator or something else "
            f"that yields batches; got {describe(source)}.{hint}"
        )


def is_py_dataset(source: Any) -> bool:
    """Whether it is a `PyDataset`, ours or Keras's, which leaves the order of batches to `fit`."""
    return any(kind.__name__ == "PyDataset" for kind in type(source).__mro__)


def _declared(source: Any) -> bool | None:
    """Whether a source says that its batches may be made beside the step, or must not be."""
    if isinstance(source, ReadyLoader):
        return None  # it runs ahead by itself; what is mapped over it does not
    data = source.dataset if isinstance(source, DataLoader) else source
    said = getattr(data, "runs_ahead", None)
    return said if isinstance(said, bool) else None


def _length(source: Any) -> int | None:
    try:
        return len(source)
    except TypeError:  # a DataLoader has the method, but knows no length of an IterableDataset
        return None


def _warn_unless_parted(source: Any) -> None:
    if not hasattr(getattr(source, "sampler", None), "set_epoch"):
        warnings.warn(
            f"fit: each process reads all of {describe(source)}, so every row counts several "
            "times. Pass the Dataset itself, or a DataLoader with a DistributedSampler.",
            stacklevel=users_level(),
        )


def _skip(iterator: Iterator[Any], count: int) -> None:
    """Take so many items out of an iterator, or all there are."""
    next(itertools.islice(iterator, count, count), None)


def _in_turn(first: Prepare, second: Prepare) -> Prepare:
    return lambda x, y, weight: second(*first(x, y, weight))


def _check_alignment(batch: Batch) -> None:
    """Rows of a batch's parts must go together; one weight for a whole batch is left alone.

    So are inputs that differ among themselves: the nodes and edges of graphs have each their own.
    """
    x, y, weight = batch
    if has_own_rows(x):
        batch = None, y, weight
    counts = {len(tensor) for tensor in leaves(batch) if tensor.dim()}
    if len(counts) > 1:
        check_rows(batch)


def split_batch(item: Any) -> Batch:
    """What a source yields, as `(x, y, sample_weight)`.

    Raises:
        ValueError: If it is a tuple or list of more than three.
    """
    if not isinstance(item, (tuple, list)):
        return item, None, None
    if not 1 <= len(item) <= 3:
        raise ValueError(
            "A batch must be x, (x, y) or (x, y, sample_weight), got a "
            f"{describe(item)}. Put several inputs into a tuple or dict of their own."
        )
    padded = (*item, None, None)
    return padded[0], padded[1], padded[2]


def batch_rows(batch: Batch) -> int:
    """How many rows a batch has."""
    first = next(leaves(batch[0]))
    return first.shape[0] if first.dim() else 1
