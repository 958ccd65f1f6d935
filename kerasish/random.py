"""Random tensors under Keras's names, drawn from torch's generators and repeatable from a seed."""

from __future__ import annotations

import random as _python_random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import distributions

from kerasish import config
from kerasish.describe import describe


class SeedGenerator:
    """A source of seeds: each use gives the next one, so repeated calls draw different values.

    Args:
        seed: The integer that the sequence of seeds starts from. `None` picks one at random.
        name: A label.

    Raises:
        ValueError: If `seed` is neither an integer nor `None`.

    Example:
        >>> seeds = SeedGenerator(7)
        >>> bool((uniform((3,), seed=seeds) == uniform((3,), seed=seeds)).any())
        False
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ValueError(
                f"SeedGenerator: `seed` must be an integer or None, got {describe(seed)}."
            )
        self.name = name or "seed_generator"
        self._initial_seed = seed
        self._seed = _python_random.getrandbits(30) if seed is None else seed
        self._count = 0

    @property
    def state(self) -> tuple[int, int]:
        """The start of the sequence and how many seeds it has given; set it to go on from there."""
        return self._seed, self._count

    @state.setter
    def state(self, value: Sequence[int]) -> None:
        self._seed, self._count = int(value[0]), int(value[1])

    def next(self) -> int:
        """The next seed, an integer in [0, 2**63)."""
        seed = _python_random.Random(f"{self._seed},{self._count}").getrandbits(63)
        self._count += 1
        return seed

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this generator again, at its start."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """Make the generator that `get_config` described."""
        return cls(**config)


Seed = int | SeedGenerator | None


def make_generator(seed: Seed, device: torch.device | str | None = None) -> torch.Generator | None:
    """The torch generator that a seed means; `None` is torch's global one.

    Args:
        seed: An integer (the same draws each time), a `SeedGenerator` (its next draws) or `None`.
        device: Where it draws. Defaults to torch's default device.

    Raises:
        ValueError: If the seed is something else.
    """
    if seed is None:
        return None
    if device is None:
        device = torch.get_default_device()
    device = torch.device(device)
    if isinstance(seed, SeedGenerator):
        seed = seed.next()
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ValueError(
            f"`seed` must be an integer, a SeedGenerator or None, got {describe(seed)}."
        )
    if device.type == "meta":  # nothing is drawn there
        return None
    return torch.Generator(device).manual_seed(seed)


class GlobalsAside:
    """torch's global generators, put aside while code draws from them that takes no other.

    Attributes:
        count: How often that has happened.
    """

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def __call__(self, device: torch.device) -> Iterator[Callable[[int], None]]:
        """Put the generators of the CPU and a device aside; gives what seeds them meanwhile."""
        self.count += 1
        with torch.random.fork_rng([device] if device.type == "cuda" else []):

            def seed(number: int) -> None:
                if device.type not in ("cpu", "cuda"):
                    torch.manual_seed(number)
                    return
                # torch.manual_seed would seed all GPUs, too, and leave them so.
                torch.default_generator.manual_seed(number)
                if device.type == "cuda":
                    with torch.cuda.device(device):
                        torch.cuda.manual_seed(number)

            yield seed


globals_aside = GlobalsAside()


@contextmanager
def _seeded(seed: Seed) -> Iterator[None]:
    # A few torch distributions take no generator.
    if seed is None:
        yield
        return
    with globals_aside(torch.get_default_device()) as start:
        generator = make_generator(seed, "cpu")
        assert generator is not None
        start(generator.initial_seed())
        yield


def _float_type(dtype: Any) -> torch.dtype:
    return config.as_dtype(config.floatx() if dtype is None else dtype)


def normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Seed = None,
) -> torch.Tensor:
    """Draw from the normal distribution of that mean and standard deviation."""
    generator = make_generator(seed)
    return torch.empty(tuple(shape), dtype=_float_type(dtype)).normal_(
        mean, stddev, generator=generator
    )


def uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = None,
    seed: Seed = None,
) -> torch.Tensor:
    """Draw uniformly from `[minval, maxval)`."""
    generator = make_generator(seed)
    return torch.empty(tuple(shape), dtype=_float_type(dtype)).uniform_(
        minval, maxval, generator=generator
    )


def randint(
    shape: Sequence[int], minval: int, maxval: int, dtype: Any = "int32", seed: Seed = None
) -> torch.Tensor:
    """Draw integers uniformly from `[minval, maxval)`."""
    generator = make_generator(seed)
    return torch.randint(
        minval, maxval, tuple(shape), generator=generator, dtype=config.as_dtype(dtype)
    )


def truncated_normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Seed = None,
) -> torch.Tensor:
    """Draw from the normal distribution cut off at two standard deviations from the mean."""
    values = torch.empty(tuple(shape), dtype=_float_type(dtype))
    low, high = mean - 2 * stddev, mean + 2 * stddev
    return torch.nn.init.trunc_normal_(
        values, mean, stddev, low, high, generator=make_generator(seed)
    )


def gamma(shape: Sequence[int], alpha: Any, dtype: Any = None, seed: Seed = None) -> torch.Tensor:
    """Draw from the gamma distribution of that `alpha` (it broadcasts to `shape`) and scale 1."""
    dtype = _float_type(dtype)
    alpha = torch.as_tensor(alpha, dtype=dtype).expand(tuple(shape))
    with _seeded(seed):
        return distributions.Gamma(alpha, torch.ones_like(alpha)).sample()


def beta(
    shape: Sequence[int], alpha: Any, beta: Any, dtype: Any = None, seed: Seed = None
) -> torch.Tensor:
    """Draw from the beta distribution; `alpha` and `beta` broadcast to `shape`."""
    dtype = _float_type(dtype)
    alpha, beta = (
        torch.as_tensor(value, dtype=dtype).expand(tuple(shape)) for value in (alpha, beta)
    )
    with _seeded(seed):
        return distributions.Beta(alpha, beta).sample()


def binomial(
    shape: Sequence[int], counts: Any, probabilities: Any, dtype: Any = None, seed: Seed = None
) -> torch.Tensor:
    """Draw the number of successes in `counts` trials of probability `probabilities`."""
    dtype = _float_type(dtype)
    counts, probabilities = (
        torch.as_tensor(value, dtype=dtype).expand(tuple(shape))
        for value in (counts, probabilities)
    )
    return torch.binomial(counts, probabilities, generator=make_generator(seed))


def categorical(
    logits: Any, num_samples: int, dtype: Any = "int32", seed: Seed = None
) -> torch.Tensor:
    """Draw class indices with probabilities `softmax(logits)`.

    Shapes:
        logits: `(batch, classes)`
        output: `(batch, num_samples)`
    """
    logits = torch.as_tensor(logits)
    drawn = torch.multinomial(
        torch.softmax(logits, dim=-1),
        num_samples,
        replacement=True,
        generator=make_generator(seed, logits.device),
    )
    return drawn.to(config.as_dtype(dtype))


def dropout(
    inputs: torch.Tensor,
    rate: float,
    noise_shape: Sequence[int | None] | None = None,
    seed: Seed = None,
) -> torch.Tensor:
    """Set a random part `rate` of the inputs to zero and scale the rest by `1 / (1 - rate)`.

    Args:
        inputs: Any float tensor.
        rate: The probability of being dropped, in [0, 1].
        noise_shape: The shape of the random mask, which broadcasts to the inputs; `None` entries
            are the inputs' sizes. `(None, 1, None)` drops the same features at all time steps.
        seed: As everywhere here.
    """
    if seed is None and noise_shape is None:
        return F.dropout(inputs, rate, training=True)
    if rate >= 1.0:
        return inputs * 0.0
    sizes = noise_shape if noise_shape is not None else inputs.shape
    sizes = [inputs.shape[axis] if size is None else size for axis, size in enumerate(sizes)]
    keep = torch.empty(sizes, dtype=inputs.dtype, device=inputs.device).bernoulli_(
        1.0 - rate, generator=make_generator(seed, inputs.device)
    )
    return inputs * keep.div_(1.0 - rate)


def shuffle(x: Any, axis: int = 0, seed: Seed = None) -> torch.Tensor:
    """Put the slices along `axis` in random order."""
    x = torch.as_tensor(x)
    generator = make_generator(seed, x.device)
    order = torch.randperm(x.shape[axis], generator=generator, device=x.device)
    return x.index_select(axis, order)
