"""Comparisons, logic and the bits of integers."""

from __future__ import annotations

import torch

from kerasish.ops.tensors import TensorLike, convert_to_tensor, operands, same_type


def equal(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 == x2`."""
    x1, x2 = operands(x1, x2)
    return x1 == x2


def not_equal(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 != x2`."""
    x1, x2 = operands(x1, x2)
    return x1 != x2


def greater(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 > x2`."""
    x1, x2 = operands(x1, x2)
    return x1 > x2


def greater_equal(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 >= x2`."""
    x1, x2 = operands(x1, x2)
    return x1 >= x2


def less(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 < x2`."""
    x1, x2 = operands(x1, x2)
    return x1 < x2


def less_equal(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 <= x2`."""
    x1, x2 = operands(x1, x2)
    return x1 <= x2


def isfinite(x: TensorLike) -> torch.Tensor:
    """Whether a number is neither infinite nor NaN."""
    return torch.isfinite(convert_to_tensor(x))


def isinf(x: TensorLike) -> torch.Tensor:
    """Whether a number is infinite."""
    return torch.isinf(convert_to_tensor(x))


def isnan(x: TensorLike) -> torch.Tensor:
    """Whether a number is NaN."""
    return torch.isnan(convert_to_tensor(x))


def isneginf(x: TensorLike) -> torch.Tensor:
    """Whether a number is minus infinity."""
    return torch.isneginf(convert_to_tensor(x))


def isposinf(x: TensorLike) -> torch.Tensor:
    """Whether a number is plus infinity."""
    return torch.isposinf(convert_to_tensor(x))


def isreal(x: TensorLike) -> torch.Tensor:
    """Whether a number has no imaginary part."""
    return torch.isreal(convert_to_tensor(x))


def signbit(x: TensorLike) -> torch.Tensor:
    """Whether a number is negative, -0.0 among them."""
    return torch.signbit(convert_to_tensor(x))


def logical_not(x: TensorLike) -> torch.Tensor:
    """`not x`."""
    return torch.logical_not(convert_to_tensor(x))


def logical_and(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 and x2`."""
    return torch.logical_and(convert_to_tensor(x1), convert_to_tensor(x2))


def logical_or(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 or x2`."""
    return torch.logical_or(convert_to_tensor(x1), convert_to_tensor(x2))


def logical_xor(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """Whether just one of `x1` and `x2` is true."""
    return torch.logical_xor(convert_to_tensor(x1), convert_to_tensor(x2))


def bitwise_and(x: TensorLike, y: TensorLike) -> torch.Tensor:
    """The bits set in both."""
    return torch.bitwise_and(convert_to_tensor(x), convert_to_tensor(y))


def bitwise_or(x: TensorLike, y: TensorLike) -> torch.Tensor:
    """The bits set in either."""
    return torch.bitwise_or(convert_to_tensor(x), convert_to_tensor(y))


def bitwise_xor(x: TensorLike, y: TensorLike) -> torch.Tensor:
    """The bits set in just one."""
    return torch.bitwise_xor(convert_to_tensor(x), convert_to_tensor(y))


def bitwise_left_shift(x: TensorLike, y: TensorLike) -> torch.Tensor:
    """`x << y`."""
    return torch.bitwise_left_shift(convert_to_tensor(x), convert_to_tensor(y))


def bitwise_right_shift(x: TensorLike, y: TensorLike) -> torch.Tensor:
    """`x >> y`."""
    return torch.bitwise_right_shift(convert_to_tensor(x), convert_to_tensor(y))


def bitwise_not(x: TensorLike) -> torch.Tensor:
    """Every bit turned over: `-x - 1`."""
    return torch.bitwise_not(convert_to_tensor(x))


def isclose(
    x1: TensorLike,
    x2: TensorLike,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> torch.Tensor:
    """Whether `|x1 - x2| <= atol + rtol * |x2|`, for each pair."""
    return torch.isclose(*same_type(x1, x2), rtol=rtol, atol=atol, equal_nan=equal_nan)


def allclose(
    x1: TensorLike,
    x2: TensorLike,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> torch.Tensor:
    """Whether all pairs are close: a 0-d boolean tensor."""
    return torch.all(isclose(x1, x2, rtol, atol, equal_nan))


def isin(
    x1: TensorLike, x2: TensorLike, assume_unique: bool = False, invert: bool = False
) -> torch.Tensor:
    """Whether each element of `x1` occurs anywhere in `x2` (or does not, with `invert`)."""
    return torch.isin(
        convert_to_tensor(x1),
        convert_to_tensor(x2),
        assume_unique=assume_unique,
        invert=invert,
    )


bitwise_invert = bitwise_not
left_shift = bitwise_left_shift
right_shift = bitwise_right_shift
