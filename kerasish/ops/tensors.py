"""What every operation starts with: making tensors, and knowing symbolic ones from real ones."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch

from kerasish import config, tree
from kerasish.devices import as_torch_takes

TensorLike = Any
Axis = int | Sequence[int] | None
P = ParamSpec("P")
R = TypeVar("R")


def is_tensor(x: Any) -> bool:
    """Whether `x` is a torch tensor or a symbolic one, and not an array, a list or a number."""
    return isinstance(x, torch.Tensor) or is_symbolic(x)


def is_symbolic(x: Any) -> bool:
    """Whether `x` stands for a tensor (or a size) that is known when the graph runs."""
    return hasattr(type(x), "__torch_function__") and not isinstance(x, torch.Tensor)


def recorded(function: Callable[P, R]) -> Callable[P, R]:
    """Let a graph record a call on symbolic tensors as one node, whatever the function does inside.

    For operations that read sizes or loop; those made of a few torch calls are recorded as these.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        found = _first_symbolic((args, kwargs))
        if found is None:
            return function(*args, **kwargs)
        kind = type(found)
        # A graph keeps tensors as its constants, but can't write down arrays.
        args, kwargs = _arrays_as_tensors(args), _arrays_as_tensors(kwargs)
        return kind.__torch_function__(call, (kind,), args, kwargs)

    return call


def _first_symbolic(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        children: Any = value
    elif isinstance(value, dict):
        children = value.values()
    elif isinstance(value, builtins.slice):
        children = (value.start, value.stop, value.step)
    else:
        return value if is_symbolic(value) else None
    return next(
        (found for child in children if (found := _first_symbolic(child)) is not None), None
    )


def _arrays_as_tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return convert_to_tensor(value)
    if type(value) in (list, tuple):
        return type(value)(_arrays_as_tensors(item) for item in value)
    if type(value) is dict:
        return {key: _arrays_as_tensors(item) for key, item in value.items()}
    return value


def convert_to_tensor(
    x: TensorLike, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None
) -> torch.Tensor:
    """Make a tensor from an array, a number or nested lists; tensors stay what they are.

    Args:
        x: Anything like an array. Python floats become `config.floatx()`, integers int64.
        dtype: The type to convert to, if any.
        sparse: Not available.
        ragged: Not available.

    Raises:
        ValueError: If a sparse or ragged tensor is asked for.

    Example:
        >>> convert_to_tensor([[1.0, 2.0]])
        tensor([[1., 2.]])
    """
    if sparse or ragged:
        raise ValueError("convert_to_tensor: sparse and ragged tensors are not available here.")
    if is_tensor(x):
        return x if dtype is None else x.to(config.as_dtype(dtype))
    if isinstance(x, (list, tuple)) and builtins.any(is_tensor(leaf) for leaf in tree.flatten(x)):
        tensor = torch.stack([convert_to_tensor(item) for item in x])
        return tensor if dtype is None else tensor.to(config.as_dtype(dtype))
    wanted = None if dtype is None else config.as_dtype(dtype)
    if isinstance(x, (bool, int, float, complex)):
        return torch.as_tensor(x, dtype=wanted or _number_type(x))
    array = np.asarray(x)
    if wanted is None and not hasattr(x, "dtype") and array.dtype == np.float64:
        wanted = config.as_dtype(config.floatx())
    if array.dtype == np.uint32:  # torch computes little with its unsigned types
        array = array.astype(np.int64)
    return torch.as_tensor(as_torch_takes(array), dtype=wanted, device=torch.get_default_device())


def _number_type(x: complex) -> torch.dtype | None:
    return config.as_dtype(config.floatx()) if isinstance(x, float) else None


def convert_to_numpy(x: TensorLike) -> np.ndarray:
    """Make a NumPy array; a tensor on another device or with gradients is copied off them."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        return (x.float() if x.dtype == torch.bfloat16 else x.resolve_conj()).numpy()
    if isinstance(x, (list, tuple)) and builtins.any(is_tensor(leaf) for leaf in tree.flatten(x)):
        return np.stack([convert_to_numpy(item) for item in x])
    return np.asarray(x)


def array(x: TensorLike, dtype: Any = None) -> torch.Tensor:
    """Make a tensor: `convert_to_tensor` under NumPy's name."""
    return convert_to_tensor(x, dtype)


def cast(x: TensorLike, dtype: Any) -> torch.Tensor:
    """The same numbers as another type.

    Example:
        >>> cast([0, 1, 2], "bool")
        tensor([False,  True,  True])
    """
    return convert_to_tensor(x).to(config.as_dtype(dtype))


def saturate_cast(x: TensorLike, dtype: Any) -> torch.Tensor:
    """As `cast`, with numbers out of the type's range moved to its nearest end.

    Example:
        >>> saturate_cast([-5, 260], "uint8")
        tensor([  0, 255], dtype=torch.uint8)
    """
    x, wanted = convert_to_tensor(x), config.as_dtype(dtype)
    if wanted == torch.bool or wanted.is_complex:
        return x.to(wanted)
    info = torch.finfo(wanted) if wanted.is_floating_point else torch.iinfo(wanted)
    own = torch.finfo(x.dtype) if x.is_floating_point() else torch.iinfo(as_number(x).dtype)
    # A bound outside the type of x is out of reach for x anyway.
    low, high = builtins.max(info.min, own.min), builtins.min(info.max, own.max)
    return torch.clamp(as_number(x), low, high).to(wanted)


def dtype(x: TensorLike) -> str:
    """The name of the type: `"float32"`."""
    return config.dtype_name(convert_to_tensor(x).dtype)


def shape(x: TensorLike) -> tuple[Any, ...]:
    """The sizes, as a tuple; an unknown size of a symbolic tensor is a value to compute with."""
    x = convert_to_tensor(x)
    return tuple(x.size())


def ndim(x: TensorLike) -> int:
    """The number of axes."""
    return convert_to_tensor(x).ndim


def size(x: TensorLike) -> int:
    """The number of elements."""
    return convert_to_tensor(x).numel()


def as_number(x: torch.Tensor) -> torch.Tensor:
    """Booleans as integers, all else as it is."""
    return x.to(torch.int64) if x.dtype == torch.bool else x


def as_float(x: TensorLike) -> torch.Tensor:
    """A tensor of float or complex type: integers become `config.floatx()`."""
    x = convert_to_tensor(x)
    if x.is_floating_point() or x.is_complex():
        return x
    return x.to(config.as_dtype(config.floatx()))


def operands(x1: TensorLike, x2: TensorLike) -> tuple[Any, Any]:
    """Both as tensors, but for a number beside a tensor, which takes the tensor's type."""
    if isinstance(x1, (bool, int, float, complex)) and is_tensor(x2):
        return x1, x2
    if isinstance(x2, (bool, int, float, complex)) and is_tensor(x1):
        return x1, x2
    return convert_to_tensor(x1), convert_to_tensor(x2)


def same_type(x1: TensorLike, x2: TensorLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as tensors of their common type, for torch functions that do not promote."""
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    common = torch.promote_types(x1.dtype, x2.dtype)
    return x1.to(common), x2.to(common)


def as_dims(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes as non-negative numbers; `None` is all of them."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    return tuple(a + ndim if a < 0 else a for a in axes)
