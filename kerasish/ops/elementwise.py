"""Arithmetic, one element at a time."""

from __future__ import annotations

import torch

from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, operands, same_type


def abs(x: TensorLike) -> torch.Tensor:
    """The absolute value."""
    return torch.abs(convert_to_tensor(x))


def angle(x: TensorLike) -> torch.Tensor:
    """The angle of a complex number, in radians; 0 or pi for real ones."""
    return torch.angle(convert_to_tensor(x))


def arccos(x: TensorLike) -> torch.Tensor:
    """The inverse cosine, in [0, pi]."""
    return torch.arccos(convert_to_tensor(x))


def arccosh(x: TensorLike) -> torch.Tensor:
    """The inverse hyperbolic cosine."""
    return torch.arccosh(convert_to_tensor(x))


def arcsin(x: TensorLike) -> torch.Tensor:
    """The inverse sine, in [-pi / 2, pi / 2]."""
    return torch.arcsin(convert_to_tensor(x))


def arcsinh(x: TensorLike) -> torch.Tensor:
    """The inverse hyperbolic sine."""
    return torch.arcsinh(convert_to_tensor(x))


def arctan(x: TensorLike) -> torch.Tensor:
    """The inverse tangent, in [-pi / 2, pi / 2]."""
    return torch.arctan(convert_to_tensor(x))


def arctanh(x: TensorLike) -> torch.Tensor:
    """The inverse hyperbolic tangent."""
    return torch.arctanh(convert_to_tensor(x))


def conj(x: TensorLike) -> torch.Tensor:
    """The complex conjugate."""
    return torch.conj_physical(convert_to_tensor(x))


def cos(x: TensorLike) -> torch.Tensor:
    """The cosine of an angle in radians."""
    return torch.cos(convert_to_tensor(x))


def cosh(x: TensorLike) -> torch.Tensor:
    """The hyperbolic cosine."""
    return torch.cosh(convert_to_tensor(x))


def deg2rad(x: TensorLike) -> torch.Tensor:
    """Degrees as radians."""
    return torch.deg2rad(as_float(x))


def erf(x: TensorLike) -> torch.Tensor:
    """The error function."""
    return torch.erf(convert_to_tensor(x))


def erfc(x: TensorLike) -> torch.Tensor:
    """`1 - erf(x)`."""
    return torch.erfc(convert_to_tensor(x))


def erfinv(x: TensorLike) -> torch.Tensor:
    """The inverse of `erf`."""
    return torch.erfinv(convert_to_tensor(x))


def exp(x: TensorLike) -> torch.Tensor:
    """`e ** x`."""
    return torch.exp(convert_to_tensor(x))


def exp2(x: TensorLike) -> torch.Tensor:
    """`2 ** x`."""
    return torch.exp2(convert_to_tensor(x))


def expm1(x: TensorLike) -> torch.Tensor:
    """`exp(x) - 1`, exact near 0."""
    return torch.expm1(convert_to_tensor(x))


def fabs(x: TensorLike) -> torch.Tensor:
    """The absolute value, as a float."""
    return torch.abs(as_float(x))


def ceil(x: TensorLike) -> torch.Tensor:
    """The smallest whole number not below `x`, as a float."""
    return torch.ceil(as_float(x))


def floor(x: TensorLike) -> torch.Tensor:
    """The largest whole number not above `x`, as a float."""
    return torch.floor(as_float(x))


def i0(x: TensorLike) -> torch.Tensor:
    """The modified Bessel function of the first kind, order 0."""
    return torch.i0(convert_to_tensor(x))


def log(x: TensorLike) -> torch.Tensor:
    """The natural logarithm."""
    return torch.log(convert_to_tensor(x))


def log10(x: TensorLike) -> torch.Tensor:
    """The logarithm to base 10."""
    return torch.log10(convert_to_tensor(x))


def log1p(x: TensorLike) -> torch.Tensor:
    """`log(1 + x)`, exact near 0."""
    return torch.log1p(convert_to_tensor(x))


def log2(x: TensorLike) -> torch.Tensor:
    """The logarithm to base 2."""
    return torch.log2(convert_to_tensor(x))


def negative(x: TensorLike) -> torch.Tensor:
    """`-x`."""
    return torch.neg(convert_to_tensor(x))


def rad2deg(x: TensorLike) -> torch.Tensor:
    """Radians as degrees."""
    return torch.rad2deg(as_float(x))


def real(x: TensorLike) -> torch.Tensor:
    """The real part."""
    return torch.real(convert_to_tensor(x))


def reciprocal(x: TensorLike) -> torch.Tensor:
    """`1 / x`."""
    return torch.reciprocal(convert_to_tensor(x))


def rsqrt(x: TensorLike) -> torch.Tensor:
    """`1 / sqrt(x)`."""
    return torch.rsqrt(convert_to_tensor(x))


def sign(x: TensorLike) -> torch.Tensor:
    """-1, 0 or 1."""
    return torch.sign(convert_to_tensor(x))


def sin(x: TensorLike) -> torch.Tensor:
    """The sine of an angle in radians."""
    return torch.sin(convert_to_tensor(x))


def sinc(x: TensorLike) -> torch.Tensor:
    """`sin(pi * x) / (pi * x)`, and 1 at 0."""
    return torch.sinc(convert_to_tensor(x))


def sinh(x: TensorLike) -> torch.Tensor:
    """The hyperbolic sine."""
    return torch.sinh(convert_to_tensor(x))


def sqrt(x: TensorLike) -> torch.Tensor:
    """The square root."""
    return torch.sqrt(convert_to_tensor(x))


def square(x: TensorLike) -> torch.Tensor:
    """`x * x`."""
    return torch.square(convert_to_tensor(x))


def tan(x: TensorLike) -> torch.Tensor:
    """The tangent of an angle in radians."""
    return torch.tan(convert_to_tensor(x))


def tanh(x: TensorLike) -> torch.Tensor:
    """The hyperbolic tangent."""
    return torch.tanh(convert_to_tensor(x))


def trunc(x: TensorLike) -> torch.Tensor:
    """The whole part, towards 0."""
    return torch.trunc(convert_to_tensor(x))


def cbrt(x: TensorLike) -> torch.Tensor:
    """The cube root, negative for negative numbers."""
    x = as_float(x)
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


def imag(x: TensorLike) -> torch.Tensor:
    """The imaginary part; 0 for real numbers."""
    x = convert_to_tensor(x)
    return torch.imag(x) if x.is_complex() else torch.zeros_like(x)


def round(x: TensorLike, decimals: int = 0) -> torch.Tensor:
    """The nearest number of that many decimals; halves go to the even neighbour."""
    x = convert_to_tensor(x)
    if x.is_floating_point():
        return torch.round(x, decimals=decimals)
    if decimals >= 0:
        return x
    return torch.round(as_float(x), decimals=decimals).to(x.dtype)


def clip(x: TensorLike, x_min: TensorLike, x_max: TensorLike) -> torch.Tensor:
    """`min(max(x, x_min), x_max)`; the bounds are numbers or tensors."""
    x = convert_to_tensor(x)
    numbers = (bool, int, float, type(None))
    if isinstance(x_min, numbers) and isinstance(x_max, numbers):
        return torch.clamp(x, x_min, x_max)
    return torch.minimum(torch.maximum(x, convert_to_tensor(x_min)), convert_to_tensor(x_max))


def nan_to_num(
    x: TensorLike,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> torch.Tensor:
    """Numbers in place of NaN and the infinities (by default the largest finite ones)."""
    return torch.nan_to_num(convert_to_tensor(x), nan, posinf, neginf)


def stop_gradient(variable: TensorLike) -> torch.Tensor:
    """The same values, through which no gradient flows."""
    return convert_to_tensor(variable).detach()


def view_as_complex(x: TensorLike) -> torch.Tensor:
    """Complex numbers from real pairs on the last axis, which goes."""
    return torch.view_as_complex(convert_to_tensor(x).contiguous())


def view_as_real(x: TensorLike) -> torch.Tensor:
    """Complex numbers as real pairs on a new last axis."""
    return torch.view_as_real(convert_to_tensor(x).resolve_conj())


def polar(abs_: TensorLike, angle: TensorLike) -> torch.Tensor:
    """Complex numbers of those absolute values and angles, in radians."""
    return torch.polar(*same_type(as_float(abs_), as_float(angle)))


def add(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 + x2`."""
    x1, x2 = operands(x1, x2)
    return x1 + x2


def subtract(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 - x2`."""
    x1, x2 = operands(x1, x2)
    return x1 - x2


def multiply(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 * x2`."""
    x1, x2 = operands(x1, x2)
    return x1 * x2


def divide(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 / x2`, a float also for integers."""
    x1, x2 = operands(x1, x2)
    return x1 / x2


def floor_divide(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 / x2`, rounded down."""
    x1, x2 = operands(x1, x2)
    return x1 // x2


def mod(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The remainder of `x1 // x2`, with the sign of `x2`."""
    x1, x2 = operands(x1, x2)
    return x1 % x2


def power(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 ** x2`."""
    x1, x2 = operands(x1, x2)
    return x1**x2


def arctan2(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The angle of the point `(x2, x1)`, in [-pi, pi]."""
    return torch.arctan2(convert_to_tensor(x1), convert_to_tensor(x2))


def fmax(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The larger of each pair; NaN only where both are."""
    return torch.fmax(convert_to_tensor(x1), convert_to_tensor(x2))


def fmin(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The smaller of each pair; NaN only where both are."""
    return torch.fmin(convert_to_tensor(x1), convert_to_tensor(x2))


def fmod(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The remainder of `x1 / x2`, with the sign of `x1`."""
    return torch.fmod(convert_to_tensor(x1), convert_to_tensor(x2))


def gcd(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The greatest common divisor of integers."""
    return torch.gcd(convert_to_tensor(x1), convert_to_tensor(x2))


def heaviside(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """0 for negative `x1`, 1 for positive, `x2` for 0."""
    return torch.heaviside(*same_type(x1, x2))


def hypot(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`sqrt(x1² + x2²)`."""
    return torch.hypot(*same_type(as_float(x1), as_float(x2)))


def lcm(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The least common multiple of integers."""
    return torch.lcm(convert_to_tensor(x1), convert_to_tensor(x2))


def ldexp(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 * 2 ** x2`."""
    return torch.ldexp(convert_to_tensor(x1), convert_to_tensor(x2))


def logaddexp(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`log(exp(x1) + exp(x2))`, computed stably."""
    return torch.logaddexp(*same_type(as_float(x1), as_float(x2)))


def logaddexp2(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`log2(2 ** x1 + 2 ** x2)`, computed stably."""
    return torch.logaddexp2(*same_type(as_float(x1), as_float(x2)))


def maximum(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The larger of each pair; NaN where either is."""
    return torch.maximum(convert_to_tensor(x1), convert_to_tensor(x2))


def minimum(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The smaller of each pair; NaN where either is."""
    return torch.minimum(convert_to_tensor(x1), convert_to_tensor(x2))


def nextafter(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The next float after `x1` towards `x2`."""
    return torch.nextafter(*same_type(as_float(x1), as_float(x2)))


def divide_no_nan(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """`x1 / x2`, and 0 where `x2` is 0."""
    x1, x2 = as_float(x1), as_float(x2)
    is_zero = x2 == 0
    # The inner `where` keeps infinities out of the gradient.
    return torch.where(is_zero, 0.0, x1 / torch.where(is_zero, 1.0, x2))


absolute = abs
conjugate = conj
true_divide = divide
