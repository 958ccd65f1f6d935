"""Other shapes for the same elements: reshape, permute, join, split, repeat, pad."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from kerasish import config
from kerasish.describe import describe
from kerasish.ops.tensors import TensorLike, as_dims, convert_to_tensor, recorded


def reshape(x: TensorLike, newshape: int | Sequence[int]) -> torch.Tensor:
    """The same elements in another shape; one size may be -1."""
    sizes = (newshape,) if isinstance(newshape, int) else tuple(newshape)
    return convert_to_tensor(x).reshape(sizes)


def ravel(x: TensorLike) -> torch.Tensor:
    """All elements on one axis."""
    return torch.flatten(convert_to_tensor(x))


def view(x: TensorLike, dtype: Any = None) -> torch.Tensor:
    """The same bytes, read as another type."""
    x = convert_to_tensor(x)
    return x if dtype is None else x.view(config.as_dtype(dtype))


def copy(x: TensorLike) -> torch.Tensor:
    """A tensor of its own with the same elements."""
    return torch.clone(convert_to_tensor(x))


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> torch.Tensor:
    """The axes in another order, by default reversed."""
    x = convert_to_tensor(x)
    return torch.permute(x, tuple(reversed(range(x.ndim)) if axes is None else axes))


def swapaxes(x: TensorLike, axis1: int, axis2: int) -> torch.Tensor:
    """Two axes exchanged."""
    return torch.swapaxes(convert_to_tensor(x), axis1, axis2)


def moveaxis(
    x: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]
) -> torch.Tensor:
    """Some axes moved to other places, the rest in their order."""
    return torch.movedim(convert_to_tensor(x), source, destination)  # type: ignore[arg-type]


def expand_dims(x: TensorLike, axis: int | Sequence[int]) -> torch.Tensor:
    """New axes of size 1, at those places of the result."""
    x = convert_to_tensor(x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for place in sorted(as_dims(axes, x.ndim + len(axes))):
        x = torch.unsqueeze(x, place)
    return x


def squeeze(x: TensorLike, axis: int | Sequence[int] | None = None) -> torch.Tensor:
    """Without axes of size 1: all of them, or those named.

    Raises:
        ValueError: If a named axis has another size.
    """
    x = convert_to_tensor(x)
    if axis is None:
        return torch.squeeze(x)
    dims = as_dims(axis, x.ndim)
    for dim in dims:
        if x.shape[dim] not in (1, None):
            raise ValueError(f"squeeze: axis {dim} must have size 1, got {describe(x)}.")
    return torch.squeeze(x, dims)


def broadcast_to(x: TensorLike, shape: Sequence[int]) -> torch.Tensor:
    """Axes of size 1 and missing leading axes stretched to that shape."""
    return convert_to_tensor(x).expand(tuple(shape))


def flip(x: TensorLike, axis: int | Sequence[int] | None = None) -> torch.Tensor:
    """The elements in reverse order along some axes, or all."""
    x = convert_to_tensor(x)
    return torch.flip(x, as_dims(axis, x.ndim))


def fliplr(x: TensorLike) -> torch.Tensor:
    """Reversed along axis 1."""
    return torch.fliplr(convert_to_tensor(x))


def flipud(x: TensorLike) -> torch.Tensor:
    """Reversed along axis 0."""
    return torch.flipud(convert_to_tensor(x))


def roll(
    x: TensorLike, shift: int | Sequence[int], axis: int | Sequence[int] | None = None
) -> torch.Tensor:
    """Shifted along some axes, what leaves at the end coming back at the start."""
    return torch.roll(convert_to_tensor(x), shift, axis)  # type: ignore[arg-type]


def rot90(array: TensorLike, k: int = 1, axes: Sequence[int] = (0, 1)) -> torch.Tensor:
    """Rotated by `k` quarter turns, from the first axis towards the second."""
    return torch.rot90(convert_to_tensor(array), k, tuple(axes))


def concatenate(xs: Sequence[TensorLike], axis: int = 0) -> torch.Tensor:
    """Joined along an axis they have."""
    return torch.concatenate([convert_to_tensor(x) for x in xs], dim=axis)


def append(x1: TensorLike, x2: TensorLike, axis: int | None = None) -> torch.Tensor:
    """Joined along an axis; without one, both are made flat first."""
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    if axis is None:
        return torch.concatenate([torch.flatten(x1), torch.flatten(x2)])
    return torch.concatenate([x1, x2], dim=axis)


def stack(x: Sequence[TensorLike], axis: int = 0) -> torch.Tensor:
    """Joined along a new axis."""
    return torch.stack([convert_to_tensor(item) for item in x], dim=axis)


def hstack(xs: Sequence[TensorLike]) -> torch.Tensor:
    """Joined along axis 1 (axis 0 for vectors)."""
    return torch.hstack([convert_to_tensor(x) for x in xs])


def vstack(xs: Sequence[TensorLike]) -> torch.Tensor:
    """Joined along axis 0, vectors as rows."""
    return torch.vstack([convert_to_tensor(x) for x in xs])


def dstack(xs: Sequence[TensorLike]) -> torch.Tensor:
    """Joined along axis 2."""
    return torch.dstack([convert_to_tensor(x) for x in xs])


def unstack(x: TensorLike, num: int | None = None, axis: int = 0) -> tuple[torch.Tensor, ...]:
    """The slices along an axis, which goes. `num` is for their number where it is not known."""
    return torch.unbind(convert_to_tensor(x), dim=axis)


@recorded
def split(
    x: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0
) -> tuple[torch.Tensor, ...]:
    """Cut along an axis: into that many equal parts, or before those indices."""
    x = convert_to_tensor(x)
    if isinstance(indices_or_sections, int) and x.shape[axis] % indices_or_sections:
        raise ValueError(
            f"split: {describe(x)} cannot be cut into {indices_or_sections} equal parts along axis "
            f"{axis}; array_split takes unequal ones."
        )
    return torch.tensor_split(x, _cuts(indices_or_sections), dim=axis)


@recorded
def array_split(
    x: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0
) -> tuple[torch.Tensor, ...]:
    """As `split`, the first parts being one longer if equal ones don't fit."""
    return torch.tensor_split(convert_to_tensor(x), _cuts(indices_or_sections), dim=axis)


def _cuts(indices_or_sections: Any) -> Any:
    if isinstance(indices_or_sections, int):
        return indices_or_sections
    return tuple(int(index) for index in indices_or_sections)


def hsplit(x: TensorLike, indices_or_sections: int | Sequence[int]) -> tuple[torch.Tensor, ...]:
    """Cut along axis 1 (axis 0 of a vector)."""
    x = convert_to_tensor(x)
    return split(x, indices_or_sections, axis=1 if x.ndim > 1 else 0)


def vsplit(x: TensorLike, indices_or_sections: int | Sequence[int]) -> tuple[torch.Tensor, ...]:
    """Cut along axis 0."""
    return split(x, indices_or_sections, axis=0)


def dsplit(x: TensorLike, indices_or_sections: int | Sequence[int]) -> tuple[torch.Tensor, ...]:
    """Cut along axis 2."""
    return split(x, indices_or_sections, axis=2)


@recorded
def repeat(x: TensorLike, repeats: TensorLike, axis: int | None = None) -> torch.Tensor:
    """Each element (or slice along `axis`) that many times in a row."""
    if not isinstance(repeats, int):
        repeats = convert_to_tensor(repeats, "int64")
        repeats = int(repeats) if repeats.numel() == 1 else repeats
    return torch.repeat_interleave(convert_to_tensor(x), repeats, dim=axis)


def tile(x: TensorLike, repeats: int | Sequence[int]) -> torch.Tensor:
    """The whole tensor repeated along each axis."""
    return torch.tile(
        convert_to_tensor(x), (repeats,) if isinstance(repeats, int) else tuple(repeats)
    )


@recorded
def pad(
    x: TensorLike,
    pad_width: Any,
    mode: str = "constant",
    constant_values: float | None = None,
) -> torch.Tensor:
    """Elements added at both ends of each axis.

    Args:
        x: Any tensor.
        pad_width: `((before, after), ...)` for each axis; one pair or one number for all.
        mode: `"constant"`, or where the new elements come from: `"edge"`, `"reflect"`,
            `"symmetric"`, `"wrap"`.
        constant_values: The new elements of mode `"constant"`, by default 0.

    Example:
        >>> pad([1, 2, 3], (2, 1), mode="reflect")
        tensor([3, 2, 1, 2, 3, 2])
    """
    x = convert_to_tensor(x)
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    if mode == "constant":
        flat = [width for pair in reversed(widths) for width in pair]
        return F.pad(x, flat, value=0 if constant_values is None else constant_values)
    if constant_values is not None:
        raise ValueError(f"pad: `constant_values` has no effect in mode {describe(mode)}.")
    for axis, width in enumerate(widths):
        if builtins.any(width):
            # NumPy knows which element each new one repeats, in every mode.
            source = np.pad(np.arange(x.shape[axis]), width, mode=mode)  # type: ignore[arg-type]
            x = torch.index_select(x, axis, torch.as_tensor(source, device=x.device))
    return x


def meshgrid(*x: TensorLike, indexing: str = "xy") -> tuple[torch.Tensor, ...]:
    """The coordinates of a grid's points from those of its axes.

    Args:
        *x: One vector per axis.
        indexing: `"xy"`, where the first vector runs along axis 1, or `"ij"`, where along axis 0.
    """
    return torch.meshgrid(*[convert_to_tensor(item) for item in x], indexing=indexing)
