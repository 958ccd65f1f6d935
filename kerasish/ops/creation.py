"""New tensors: constant ones, ranges, patterns and windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from kerasish import config
from kerasish.initializers.stft import make_window
from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, recorded


def _dtype(dtype: Any) -> torch.dtype:
    return config.as_dtype(config.floatx() if dtype is None else dtype)


def _like(dtype: Any) -> torch.dtype | None:
    return None if dtype is None else config.as_dtype(dtype)


def _sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


@recorded
def zeros(shape: int | Sequence[int], dtype: Any = None) -> torch.Tensor:
    """All 0."""
    return torch.zeros(_sizes(shape), dtype=_dtype(dtype))


@recorded
def ones(shape: int | Sequence[int], dtype: Any = None) -> torch.Tensor:
    """All 1."""
    return torch.ones(_sizes(shape), dtype=_dtype(dtype))


@recorded
def empty(shape: int | Sequence[int], dtype: Any = None) -> torch.Tensor:
    """Whatever lies in memory."""
    return torch.empty(_sizes(shape), dtype=_dtype(dtype))


@recorded
def full(shape: int | Sequence[int], fill_value: TensorLike, dtype: Any = None) -> torch.Tensor:
    """All `fill_value`, which may be a tensor that broadcasts to the shape."""
    value = convert_to_tensor(fill_value, dtype)
    return torch.broadcast_to(value, _sizes(shape)).clone()


def zeros_like(x: TensorLike, dtype: Any = None) -> torch.Tensor:
    """All 0, with the shape of `x`, and its type unless another is given."""
    return torch.zeros_like(convert_to_tensor(x), dtype=_like(dtype))


def ones_like(x: TensorLike, dtype: Any = None) -> torch.Tensor:
    """All 1, with the shape of `x`, and its type unless another is given."""
    return torch.ones_like(convert_to_tensor(x), dtype=_like(dtype))


def empty_like(x: TensorLike, dtype: Any = None) -> torch.Tensor:
    """Whatever lies in memory, with the shape of `x`, and its type unless another is given."""
    return torch.empty_like(convert_to_tensor(x), dtype=_like(dtype))


@recorded
def full_like(x: TensorLike, fill_value: TensorLike, dtype: Any = None) -> torch.Tensor:
    """All `fill_value`, with the shape of `x`, and its type unless another is given."""
    x = convert_to_tensor(x)
    value = convert_to_tensor(fill_value).to(_like(dtype) or x.dtype).to(x.device)
    return torch.broadcast_to(value, x.shape).clone()


@recorded
def arange(
    start: float, stop: float | None = None, step: float | None = None, dtype: Any = None
) -> torch.Tensor:
    """Numbers from `start` (0 if only one bound is given) up to, not including, `stop`."""
    if stop is None:
        start, stop = 0, start
    return torch.arange(start, stop, 1 if step is None else step, dtype=_like(dtype))


@recorded
def linspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`.

    Args:
        start: First number, or tensor of first numbers.
        stop: Last number, or tensor of last numbers.
        num: How many.
        endpoint: Whether `stop` is the last one; else it would be the next.
        retstep: Whether the step is returned too.
        dtype: Of the result; a float type if not given.
        axis: Where the numbers lie in the result, if the bounds are tensors.
    """
    start, stop = torch.broadcast_tensors(as_float(start), as_float(stop))
    intervals = num - 1 if endpoint else num
    positions = torch.arange(num, dtype=start.dtype, device=start.device)
    positions = (positions / max(intervals, 1)).reshape(-1, *[1] * start.ndim)
    # Weighing both ends makes the last number exactly `stop`.
    values = start * (1 - positions) + stop * positions
    if dtype is not None:
        values = values.to(config.as_dtype(dtype))
    values = values.movedim(0, axis)
    return (values, (stop - start) / intervals) if retstep else values


@recorded
def logspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    base: float = 10,
    dtype: Any = None,
    axis: int = 0,
) -> torch.Tensor:
    """`base` to the power of evenly spaced exponents from `start` to `stop`."""
    exponents = linspace(start, stop, num, endpoint, axis=axis)
    values = torch.pow(base, exponents)
    return values if dtype is None else values.to(config.as_dtype(dtype))


@recorded
def geomspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> torch.Tensor:
    """`num` numbers from `start` to `stop`, each the same multiple of the one before."""
    start, stop = as_float(start), as_float(stop)
    exponents = linspace(torch.log(torch.abs(start)), torch.log(torch.abs(stop)), num, endpoint)
    values = (torch.sign(start) * torch.exp(exponents)).movedim(0, axis)
    return values if dtype is None else values.to(config.as_dtype(dtype))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> torch.Tensor:  # noqa: N803
    """A matrix with 1 on its `k`-th diagonal and 0 elsewhere.

    Args:
        N: Number of rows.
        M: Number of columns; as many as rows if not given.
        k: Which diagonal; positive ones lie above the main one.
        dtype: `config.floatx()` if not given.
    """
    ones = torch.ones(N, N if M is None else M, dtype=_dtype(dtype))
    return torch.triu(torch.tril(ones, k), k)


def identity(n: int, dtype: Any = None) -> torch.Tensor:
    """The identity matrix of `n` rows."""
    return torch.eye(n, dtype=_dtype(dtype))


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> torch.Tensor:  # noqa: N803
    """A matrix with 1 on and below its `k`-th diagonal and 0 elsewhere; arguments as in `eye`."""
    return torch.tril(torch.ones(N, N if M is None else M, dtype=_dtype(dtype)), k)


def bartlett(x: int) -> torch.Tensor:
    """The triangular window of `x` points."""
    return make_window("bartlett", int(x)).to(_dtype(None))


def blackman(x: int) -> torch.Tensor:
    """The Blackman window of `x` points."""
    return make_window("blackman", int(x)).to(_dtype(None))


def hamming(x: int) -> torch.Tensor:
    """The Hamming window of `x` points."""
    return make_window("hamming", int(x)).to(_dtype(None))


def hanning(x: int) -> torch.Tensor:
    """The Hann window of `x` points."""
    return make_window("hann", int(x)).to(_dtype(None))


def kaiser(x: int, beta: float) -> torch.Tensor:
    """The Kaiser window of `x` points; a larger `beta` makes it narrower."""
    return torch.kaiser_window(int(x), periodic=False, beta=float(beta), dtype=_dtype(None))
