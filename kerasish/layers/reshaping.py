"""Layers that move numbers without changing them: flatten, reshape, permute, pad, crop, repeat."""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.config import as_image_format
from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.checks import positive_int
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.spatial import SpatialLayer


class Flatten(Layer):
    """All axes but the batch axis made into one.

    The channels of an image vary fastest, whatever its axis order: `Flatten` followed by `Dense`
    has the same weights for both, and those that Keras has. `data_format="channels_last"` keeps the
    numbers in the order they are in, as `nn.Flatten` does.

    Shapes:
        input: `(batch, ...)`
        output: `(batch, features)`

    Args:
        data_format: Where the channels are. By default the setting for images where the input has
            four axes or more, and last (as they are in a sequence) where it has fewer.
        **kwargs: Those of `Layer`.

    Example:
        >>> Flatten().compute_output_shape((None, 3, 4, 5))
        (None, 60)
    """

    is_transparent = True

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._given = data_format
        self.data_format = as_image_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Settle the axis order."""
        if self._given is None and len(input_shape) < 4:
            self.data_format = "channels_last"

    def forward(self, x: Tensor) -> Tensor:
        """Flatten, channels last."""
        if x.dim() < 2:
            return x.unsqueeze(-1)
        if self.data_format == "channels_first":
            x = x.movedim(1, -1)
        return x.flatten(1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again, in any process: the axis order is named."""
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """Each sample in another shape, with its numbers in the same order.

    Shapes:
        input: `(batch, ...)`
        output: `(batch, *target_shape)`

    Args:
        target_shape: The shape of one sample; one size may be -1, to be found.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the shape has another size than the samples, or is none.

    Example:
        >>> Reshape((1, 28, 28)).compute_output_shape((None, 784))
        (None, 1, 28, 28)
    """

    is_transparent = True

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if any(not isinstance(s, int) or s < -1 for s in shape) or shape.count(-1) > 1:
            raise ValueError(
                "Reshape: `target_shape` must be integers >= 0, with at most one -1, got "
                f"{describe(target_shape)}."
            )
        self.target_shape = shape

    def _check(self, args: tuple) -> None:
        shape = tuple(getattr(args[0], "shape", ())[1:]) if args else ()
        if None in shape:
            return
        size, wanted = math.prod(shape), math.prod(s for s in self.target_shape if s != -1)
        fits = size % max(wanted, 1) == 0 if -1 in self.target_shape else size == wanted
        if not fits:
            raise ValueError(
                f'Reshape "{self.name}" cannot make samples of shape {self.target_shape} of '
                f"samples of shape {shape}: {wanted} numbers against {size}."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Reshape each sample."""
        # Not reshape(), which cannot find -1 for a batch without samples.
        x = x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)
        return x.unflatten(1, self.target_shape) if self.target_shape else x.squeeze(1)


class Permute(Layer):
    """Another order of the axes.

    Args:
        dims: For each axis of the output the axis of the input, counted from 1: the batch axis is
            not named and stays.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `dims` is not an order of 1, 2, ….

    Example:
        >>> Permute((2, 1)).compute_output_shape((None, 10, 64))
        (None, 64, 10)
    """

    is_transparent = True

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute: `dims` must be an order of 1 … {len(self.dims)}, got {self.dims}."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Permute the axes; a view."""
        return x.permute(0, *self.dims)


class RepeatVector(Layer):
    """A vector at each of `n` steps.

    Shapes:
        input: `(batch, features)`
        output: `(batch, n, features)`

    Args:
        n: The number of steps. Positive.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `n` is not a positive integer.

    Example:
        >>> RepeatVector(3).compute_output_shape((None, 5))
        (None, 3, 5)
    """

    is_transparent = True

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive_int(self, "n", n)
        self.input_spec = InputSpec(ndim=2)

    def forward(self, x: Tensor) -> Tensor:
        """Repeat along a new axis."""
        return x.unsqueeze(1).repeat(1, self.n, 1)


def margins(layer: Any, argument: str, value: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """How much before and after, for each spatial axis.

    Args:
        layer: Whose argument it is.
        argument: Its name.
        value: One number for all; one for each axis; or a pair for each axis.
        rank: The number of spatial axes.

    Raises:
        ValueError: If it is none of these.
    """
    items = (value,) * rank if isinstance(value, int) else value
    if rank == 1 and isinstance(items, (tuple, list)) and len(items) == 2:
        items = (items,)
    if isinstance(items, (tuple, list)) and len(items) == rank:
        pairs = [(item, item) if isinstance(item, int) else tuple(item) for item in items]
        if all(len(pair) == 2 and min(pair) >= 0 for pair in pairs):
            return tuple((int(before), int(after)) for before, after in pairs)
    pair = "(before, after)" if rank == 1 else "(before, after) for each axis"
    raise ValueError(
        f"{type(layer).__name__}: `{argument}` must be an integer >= 0"
        + (f", {rank} of them" if rank > 1 else "")
        + f", or {pair}, got {describe(value)}."
    )


class ZeroPadding(SpatialLayer):
    """Zeros around the input, of any rank.

    Args:
        padding: One number for all sides; one for each axis; or `(before, after)` for each axis
            (for sequences, just one such pair).
        data_format: `"channels_first"` or `"channels_last"`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `padding` is none of these.
    """

    is_transparent = True

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.padding = margins(self, "padding", padding, self.rank)
        self._amounts = [amount for pair in reversed(self.padding) for amount in pair]

    def transform(self, x: Tensor) -> Tensor:
        """Pad, channels first."""
        return F.pad(x, self._amounts)


class ZeroPadding1D(ZeroPadding):
    """Zeros before and after a sequence.

    Shapes:
        input: `(batch, steps, channels)`, or channels first where given
        output: the same, longer

    The arguments are those of `ZeroPadding`.
    """

    rank = 1


class ZeroPadding2D(ZeroPadding):
    """Zeros around an image.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: the same, larger

    The arguments are those of `ZeroPadding`.

    Example:
        >>> ZeroPadding2D(((1, 2), (0, 3))).compute_output_shape((None, 3, 5, 5))
        (None, 3, 8, 8)
    """

    rank = 2


class ZeroPadding3D(ZeroPadding):
    """Zeros around a volume.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        output: the same, larger

    The arguments are those of `ZeroPadding`.
    """

    rank = 3


class Cropping(SpatialLayer):
    """The input without its margins, of any rank; a view.

    Args:
        cropping: One number for all sides; one for each axis; or `(before, after)` for each axis
            (for sequences, just one such pair).
        data_format: `"channels_first"` or `"channels_last"`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `cropping` is none of these, or leaves nothing of the input.
    """

    def __init__(self, cropping: Any = 0, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.cropping = margins(self, "cropping", cropping, self.rank)

    def transform(self, x: Tensor) -> Tensor:
        """Crop, channels first."""
        for axis, (before, after) in enumerate(self.cropping, start=2):
            size = x.shape[axis]
            if before + after >= size:
                raise ValueError(
                    f'{type(self).__name__} "{self.name}": cropping {self.cropping} leaves nothing '
                    f"of spatial sizes {tuple(x.shape[2:])}."
                )
            x = x.narrow(axis, before, size - before - after)
        return x


class Cropping1D(Cropping):
    """A sequence without its first and last steps.

    Shapes:
        input: `(batch, steps, channels)`
        output: the same, shorter

    Args:
        cropping: How many steps to cut: at both ends, or `(before, after)`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If it is none of these, or leaves nothing of the input.
    """

    rank = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(cropping, **kwargs)


class Cropping2D(Cropping):
    """An image without its margins.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: the same, smaller

    The arguments are those of `Cropping`.

    Example:
        >>> Cropping2D(((2, 2), (4, 4))).compute_output_shape((None, 3, 28, 28))
        (None, 3, 24, 20)
    """

    rank = 2

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(Cropping):
    """A volume without its margins.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        output: the same, smaller

    The arguments are those of `Cropping`.
    """

    rank = 3

    def __init__(
        self,
        cropping: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)
