"""Random numbers that depend on seed, epoch, sample index and draw number, and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.devices import tensor_on


def _signed(value: int) -> int:
    """The signed 64-bit number with the same bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


# SplitMix64 (Steele, Lea, Flood 2014): the n-th number of a stream is the mix of start + n * step.
_STEP = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)
_ALL = (1 << 64) - 1


def mix(bits: Tensor) -> Tensor:
    """Scramble 64-bit integers, one to one: neighbours become unrelated numbers."""
    # Torch shifts signed numbers arithmetically; the masks make the shifts logical.
    bits = (bits ^ ((bits >> 30) & ((1 << 34) - 1))) * _FIRST
    bits = (bits ^ ((bits >> 27) & ((1 << 37) - 1))) * _SECOND
    return bits ^ ((bits >> 31) & ((1 << 33) - 1))


def mix_number(bits: int) -> int:
    """`mix` for one Python integer, as a signed 64-bit number."""
    bits &= (1 << 64) - 1
    bits = ((bits ^ (bits >> 30)) * _FIRST) & ((1 << 64) - 1)
    bits = ((bits ^ (bits >> 27)) * _SECOND) & ((1 << 64) - 1)
    return _signed(bits ^ (bits >> 31))


def sample_keys(indices: Tensor, *salts: int) -> Tensor:
    """One key for each sample index, unrelated for other indices and for other salts."""
    base = 0
    for salt in salts:
        base = mix_number(base + salt + _STEP)
    if is_at_hand(indices):
        return torch.from_numpy(_mix_array(indices.numpy() * np.int64(_STEP) + np.int64(base)))
    return mix(indices * _STEP + base)


def is_at_hand(numbers: Tensor) -> bool:
    """Whether the numbers lie in main memory, and nobody follows what is done to them."""
    is_plain = type(numbers) is Tensor and numbers.device.type == "cpu"
    return is_plain and not torch.compiler.is_compiling()


def _mix_array(bits: np.ndarray) -> np.ndarray:
    """`mix` for int64 numbers in an array: a call of NumPy costs a fifth of one of torch."""
    x = bits.view(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_FIRST & _ALL)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_SECOND & _ALL)
    return (x ^ (x >> np.uint64(31))).view(np.int64)


# How many numbers of each stream are made at first.
_READY = 32
_COUNTER = np.arange(1, _READY + 1, dtype=np.int64) * np.int64(_STEP)


class Samples(NamedTuple):
    """Which samples a batch holds, and when.

    Attributes:
        indices: Their numbers in the data set, (batch,).
        epoch: The number of the pass over the data.
        calls: Where `fit` says so, how often each layer was called on this batch: a layer that
            sees two views of it draws anew for the second. `None` inside `sample_context`.
    """

    indices: Tensor
    epoch: int
    calls: Counter[int] | None = None

    def of(self, members: Tensor) -> Samples:
        """Some of them, by their places in the batch."""
        return Samples(self.indices[members.to(self.indices.device)], self.epoch)

    def seen_by(self, layer: Any, batch: int) -> Samples | None:
        """What these are to a layer that is called on a batch, perhaps not for the first time.

        Returns:
            One index for each row; `None` where the rows are not those of the samples.
        """
        if self.calls is None:
            return self if len(self.indices) == batch else None
        parts, rest = divmod(batch, len(self.indices))
        if rest:
            return None
        indices, epoch = self.indices, self.epoch
        if parts > 1:  # such as the frames of videos: those of a sample follow each other
            places = torch.arange(parts, device=indices.device)
            indices = (indices[:, None] * parts + places).flatten()
        if nth := self.calls[id(layer)]:
            epoch = mix_number(epoch + nth * _STEP)
        self.calls[id(layer)] += 1
        return Samples(indices, epoch)


_context: ContextVar[Samples | None] = ContextVar("sample_context", default=None)


@contextmanager
def sample_context(indices: Any, epoch: int = 0) -> Iterator[None]:
    """Tell augmentation layers which samples they are about to see.

    What a layer then does to a sample depends on its seed, the epoch and the sample's index alone:
    not on the batch it comes in, the worker that makes it, or what was seen before.

    Args:
        indices: The samples' numbers in the data set, one for each row of the batch; for a single
            image, its number.
        epoch: The number of the pass over the data.

    Raises:
        ValueError: If the indices are not integers in one row.

    Example:
        >>> from kerasish.layers import RandomFlip
        >>> flip, images = RandomFlip(seed=1), torch.rand(4, 3, 8, 8)
        >>> with sample_context([0, 1, 2, 3], epoch=5):
        ...     batch = flip(images)
        >>> with sample_context(2, epoch=5):
        ...     bool((flip(images[2]) == batch[2]).all())
        True
    """
    numbers = torch.atleast_1d(torch.as_tensor(indices))
    if numbers.dim() != 1 or numbers.is_floating_point():
        raise ValueError(
            "sample_context: `indices` must be one integer for each sample, "
            f"got {describe(indices)}."
        )
    with seeing(Samples(numbers.to(torch.int64), int(epoch))):
        yield


@contextmanager
def seeing(samples: Samples | None) -> Iterator[None]:
    """Let augmentation layers know these samples, or none; inside, `see` exchanges them."""
    token = _context.set(samples)
    try:
        yield
    finally:
        _context.reset(token)


class _LayersBySample:
    """Whether any layer that draws by sample was ever made: until then, nobody need be told."""

    any = False


layers_by_sample = _LayersBySample()


def reading(numbers: list[int], epoch: int) -> AbstractContextManager[None]:
    """Let augmentation layers know that these rows are read, one by one or together."""
    try:
        indices = torch.as_tensor(numbers, dtype=torch.int64)
    except (TypeError, ValueError, RuntimeError):  # names in the place of numbers
        return seeing(None)
    return seeing(Samples(indices, epoch, Counter()) if indices.dim() == 1 else None)


def see(samples: Samples) -> None:
    """Let augmentation layers know these samples from now on."""
    _context.set(samples)


def current_samples() -> Samples | None:
    """The samples that `sample_context` or `fit` told of, or `None`."""
    return _context.get()


class Draws:
    """Random numbers for each sample of a batch; each call gives new ones.

    Args:
        keys: One 64-bit integer for each sample, as `sample_keys` makes them.

    Example:
        >>> draws = Draws(sample_keys(torch.arange(3), 7))
        >>> draws.uniform(-1.0, 1.0).shape, draws.normal((2, 5)).shape
        (torch.Size([3]), torch.Size([3, 2, 5]))
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self._count = 0
        self._ready: tuple[Tensor, Tensor] | None = None

    def fork(self, number: int) -> Draws:
        """Another stream for the same samples, unrelated to this one."""
        return Draws(mix(self.keys ^ mix_number(number + 1)))

    def bits(self, shape: Sequence[int] = ()) -> Tensor:
        """64 random bits each: (batch, *shape)."""
        return self._next(math.prod(shape))[0].reshape(-1, *shape)

    def _next(self, size: int) -> tuple[Tensor, Tensor]:
        """The next numbers of each stream, as bits and on the scale 0 to 1: (batch, size)."""
        start = self._count
        self._count += size
        if self._count > _READY:
            return self._numbers(start, size)
        # A layer draws a few numbers, one after the other: making them all at once is cheaper.
        if self._ready is None:
            self._ready = self._numbers(0, _READY)
        bits, units = self._ready
        return bits[:, start : self._count], units[:, start : self._count]

    def _numbers(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        if (start, size) == (0, _READY) and is_at_hand(self.keys):
            mixed = _mix_array(self.keys.numpy()[:, None] + _COUNTER)
            # The upper 24 bits fill the significand of a float32, on every device alike.
            units = (mixed.view(np.uint64) >> np.uint64(40)).astype(np.float32)
            return torch.from_numpy(mixed), torch.from_numpy(units * np.float32(2.0**-24))
        counter = torch.arange(start + 1, start + size + 1, device=self.keys.device)
        bits = mix(self.keys[:, None] + counter * _STEP)
        return bits, ((bits >> 40) & 0xFFFFFF).to(torch.float32) * 2.0**-24

    def uniform(self, low: Any = 0.0, high: Any = 1.0, shape: Sequence[int] = ()) -> Tensor:
        """Uniform in [low, high): (batch, *shape)."""
        unit = self._next(math.prod(shape))[1].reshape(-1, *shape)
        return unit if (low, high) == (0.0, 1.0) else low + unit * (high - low)

    def integers(self, low: int, high: int, shape: Sequence[int] = ()) -> Tensor:
        """Integers from low to high, both included: (batch, *shape)."""
        # Multiplying 31 random bits by the number of choices is as good as unbiased for images.
        return low + ((((self.bits(shape) >> 33) & 0x7FFFFFFF) * (high - low + 1)) >> 31)

    def normal(self, shape: Sequence[int] = ()) -> Tensor:
        """Of mean 0 and variance 1: (batch, *shape)."""
        radius = torch.sqrt(-2.0 * torch.log1p(-self.uniform(shape=shape)))
        return radius * torch.cos(2.0 * math.pi * self.uniform(shape=shape))

    def chance(self, probability: Any) -> Tensor:
        """True with that probability: (batch,)."""
        return self.uniform() < probability

    def sign(self) -> Tensor:
        """1 or -1: (batch,)."""
        return 1.0 - 2.0 * self.integers(0, 1).to(torch.float32)

    def gamma(self, alpha: float | Tensor, shape: Sequence[int] = ()) -> Tensor:
        """Gamma-distributed with scale 1: (batch, *shape). `alpha` may differ by sample."""
        # Marsaglia and Tsang 2000, with a fixed number of tries: each fails in less than one case
        # in twenty, and how many numbers a sample uses must not depend on their values.
        tries = 8
        alpha = tensor_on(self.keys.device, alpha, torch.float32)
        alpha = alpha.expand(len(self.keys)).reshape(-1, *[1] * len(shape))
        d = torch.where(alpha < 1.0, alpha + 1.0, alpha)[..., None] - 1.0 / 3.0
        x, u = self.normal((*shape, tries)), self.uniform(shape=(*shape, tries))
        v = (1.0 + x / torch.sqrt(9.0 * d)).clamp(min=1e-12) ** 3
        good = torch.log(1.0 - u) < 0.5 * x * x + d - d * v + d * torch.log(v)
        value = (d * v).gather(-1, good.to(torch.int8).argmax(-1, keepdim=True)).squeeze(-1)
        boost = (1.0 - self.uniform(shape=shape)) ** (1.0 / alpha)
        return torch.where(alpha < 1.0, value * boost, value)

    def beta(self, a: float | Tensor, b: float | Tensor, shape: Sequence[int] = ()) -> Tensor:
        """Beta-distributed: (batch, *shape)."""
        x, y = self.gamma(a, shape), self.gamma(b, shape)
        # Both may underflow where the parameters are tiny; then either end is as likely.
        total = x + y
        return torch.where(total > 0, x / total.clamp(min=1e-38), self.integers(0, 1, shape))

    def dirichlet(self, alpha: float, size: int) -> Tensor:
        """Shares that sum to 1: (batch, size)."""
        shares = self.gamma(alpha, (size,)) + 1e-30
        return shares / shares.sum(-1, keepdim=True)
