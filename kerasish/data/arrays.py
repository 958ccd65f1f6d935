"""Arrays, frames and lists become tensors, once, without copying where that is possible."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish import config
from kerasish.data.ahead import in_thread_ahead
from kerasish.describe import describe

# torch computes with these only in part; each fits the next wider signed type.
_WIDER = {"uint16": "int32", "uint32": "int64"}


def to_tensor(value: Any, what: str = "data", floats: torch.dtype | None = None) -> Tensor:
    """Make a tensor of an array, a frame, a list or a tensor.

    64-bit floats become the default float type, since networks compute in that; integers and
    booleans stay as they are.

    Args:
        value: What the user gave.
        what: Its name for error messages.
        floats: What 64-bit floats become; by default the default float type.

    Raises:
        TypeError: If it holds text or arbitrary objects.
        ValueError: If rows have different lengths.
    """
    if isinstance(value, Tensor):
        return _narrowed(value.detach(), floats)
    if is_lazy_column(value):
        value = value[:]
    if not isinstance(value, (np.ndarray, np.generic)) and hasattr(value, "to_numpy"):
        value = value.to_numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{what}: rows differ in length; pad them first ({error}).") from error
    if array.dtype.kind == "O":
        array = _from_objects(array, what)
    if array.dtype.kind not in "buifc":
        raise TypeError(
            f"{what}: expected numbers, got {describe(array)}. Turn text into numbers first, "
            "for example with StringLookup or TextVectorization."
        )
    if str(array.dtype) in _WIDER:
        array = array.astype(_WIDER[str(array.dtype)])
    if array.dtype.byteorder == ">" or any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    tensor = _shared(np.atleast_1d(array))
    narrowed = _narrowed(tensor, floats)
    if narrowed is not tensor and isinstance(value, np.memmap):
        warnings.warn(
            f"{what}: a memory map of float64 is read into memory whole, to make it "
            f"{str(narrowed.dtype)[6:]}. Save it as that, and it stays on disk.",
            stacklevel=2,
        )
    return narrowed


def _shared(array: np.ndarray) -> Tensor:
    """A tensor in the array's memory."""
    if array.flags.writeable:
        return torch.from_numpy(array)
    if in_thread_ahead():
        return torch.from_numpy(array.copy())  # filters of warnings are all threads' own
    with warnings.catch_warnings():
        # Read-only arrays and memory maps are fine: feeds never write into the user's data.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _from_objects(array: np.ndarray, what: str) -> np.ndarray:
    try:
        return array.astype(np.float64)  # a frame with columns of different number types
    except (TypeError, ValueError):
        culprit = next(item for item in array.flat if not isinstance(item, (Real, np.bool_)))
        raise TypeError(
            f"{what}: expected numbers, got objects such as {describe(culprit)}. Turn text into "
            "numbers first, fill in what is missing, and pad rows of different lengths."
        ) from None


def _narrowed(tensor: Tensor, floats: torch.dtype | None) -> Tensor:
    wanted = floats or config.as_dtype(config.floatx())
    if tensor.dtype == torch.float64 and wanted != torch.float64:
        return tensor.to(wanted)
    return tensor


def is_array(value: Any) -> bool:
    """Whether a value holds all its rows in memory: arrays, tensors, frames, nested or in lists."""
    if isinstance(value, (np.ndarray, Tensor)):
        return True
    if isinstance(value, dict):
        return all(is_array(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        # Text and None too: what they are refused for is not that they make batches.
        plain = (int, float, np.generic, str, bytes, type(None))
        return all(isinstance(i, plain) or is_array(i) for i in value)
    return hasattr(value, "to_numpy") or is_lazy_column(value)


def is_lazy_column(value: Any) -> bool:
    """Whether it is a column of a Hugging Face data set, which is read when it is sliced."""
    return type(value).__name__ == "Column" and type(value).__module__.startswith("datasets.")


def as_tensors(value: Any, what: str, floats: torch.dtype | None = None) -> Any:
    """Turn each array of a structure into a tensor; a list of numbers is one array."""
    if value is None:
        return None
    if isinstance(value, dict):
        return {key: as_tensors(item, f"{what}['{key}']", floats) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and value and _holds_arrays(value):
        items = [as_tensors(item, f"{what}[{i}]", floats) for i, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    return to_tensor(value, what, floats)


def _holds_arrays(items: list | tuple) -> bool:
    return any(isinstance(i, (np.ndarray, Tensor, dict)) or hasattr(i, "to_numpy") for i in items)


def leaves(value: Any) -> Iterator[Tensor]:
    """The tensors of a structure, in order."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    elif value is not None:
        yield value


def map_leaves(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Apply a function to every tensor of a structure; `None` stays."""
    if isinstance(value, dict):
        return {key: map_leaves(function, item) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [map_leaves(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [map_leaves(function, item) for item in value]
    return None if value is None else function(value)
