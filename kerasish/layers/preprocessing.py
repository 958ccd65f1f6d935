"""Layers that bring numbers into range: rescaling and normalising."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.config import epsilon, image_data_format
from kerasish.describe import describe
from kerasish.devices import as_torch_takes
from kerasish.layers.base import Layer
from kerasish.layers.data_layer import DataLayer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.streams import as_array
from kerasish.layers.weights import KerasWeight

# How many numbers are turned into float64 at a time.
_CHUNK = 1 << 22


class Rescaling(Layer):
    """`x * scale + offset`, in floating point; integers such as uint8 pixels are welcome.

    Shapes:
        input: any
        output: the same

    Args:
        scale: A number, or one for each channel of an image.
        offset: A number, or one for each channel of an image.
        **kwargs: Those of `Layer`.

    Example:
        >>> Rescaling(1 / 255)(torch.tensor([[0, 51, 255]], dtype=torch.uint8))
        tensor([[0.0000, 0.2000, 1.0000]])
    """

    is_transparent = True
    _scale: Tensor | None
    _offset: Tensor | None

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True
        self.register_buffer("_scale", self._per_channel(scale), persistent=False)
        self.register_buffer("_offset", self._per_channel(offset), persistent=False)

    def _per_channel(self, value: Any) -> Tensor | None:
        if isinstance(value, (int, float)):
            return None
        values = torch.as_tensor(as_torch_takes(value), dtype=self.compute_dtype)
        first = image_data_format() == "channels_first" and values.dim() == 1
        return values.reshape(-1, 1, 1) if first else values

    def get_config(self) -> dict[str, Any]:
        """The arguments; those for each channel laid out as the image format of now has it."""
        values = {"scale": (self.scale, self._scale), "offset": (self.offset, self._offset)}
        laid_out = {k: v if t is None else t.tolist() for k, (v, t) in values.items()}
        return {**super().get_config(), **laid_out}

    def own_weights(self) -> list:
        """None: scale and offset are arguments."""
        return []

    def forward(self, x: Tensor) -> Tensor:
        """Scale, then shift."""
        x = x.to(self.compute_dtype) * (self.scale if self._scale is None else self._scale)
        if self._offset is not None:
            return x + self._offset
        return x + self.offset if self.offset else x


class Normalization(DataLayer):
    """`(x - mean) / sqrt(variance)`, with statistics given or learned by `adapt`.

    Statistics are added up in float64, so that batches give the same as the whole array.

    Shapes:
        input: any
        mean, variance: the sizes of the axes kept
        output: as the input, in floating point

    Args:
        axis: The axes that have statistics of their own; all others are averaged over. `"auto"`
            means that of the channels: the current image format's where the input has four axes
            or more, else the last (none in a single row of numbers). `None` means one mean and
            one variance for everything. Keras's default, -1, is right for its image format alone;
            a number is taken at its word.
        mean: The mean: a number, or as many as the axes have.
        variance: The variance, likewise. Mean and variance go together.
        invert: Whether to undo the normalisation instead: `x * sqrt(variance) + mean`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If only one of mean and variance is given, or they or `axis` do not fit.

    Example:
        >>> layer = Normalization()
        >>> layer.adapt([[0.0, 7.0, 4.0], [2.0, 9.0, 6.0]])
        >>> layer([[0.0, 9.0, 5.0]])
        tensor([[-1.,  1.,  0.]])
    """

    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        axis: int | Sequence[int] | str | None = "auto",
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = self._as_axes(axis)
        self._image_format = image_data_format()
        self.invert = bool(invert)
        self.supports_masking = True
        self._is_given = mean is not None
        # One number serves all channels, so it goes with a list; Keras wants equal lists.
        shapes = {np.shape(value) for value in (mean, variance)} - {()}
        if (mean is None) != (variance is None) or len(shapes) > 1:
            raise ValueError(
                "Normalization: `mean` and `variance` go together and have one shape, got "
                f"{describe(mean)} and {describe(variance)}."
            )
        most = 1 if self.axis == "auto" else len(self.axis)
        ndim = max(np.ndim(mean), np.ndim(variance))
        if ndim > most:
            raise ValueError(
                f"Normalization: `mean` has {ndim} axes, but axis={axis!r} keeps {most}."
            )
        self.input_mean, self.input_variance = mean, variance

    def _as_axes(self, axis: Any) -> Any:
        if axis is None:
            return ()
        axes = (axis,) if isinstance(axis, int) else axis
        if axes == "auto":
            return axes
        if not isinstance(axes, (list, tuple)) or any(not isinstance(a, int) for a in axes):
            raise ValueError(
                "Normalization: `axis` must be an integer, several, 'auto' or None, got "
                f"{describe(axis)}."
            )
        return tuple(axes)

    # Building

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make mean and variance for the axes kept."""
        rank = len(input_shape)
        kept = self._kept_axes(rank)
        unknown = [axis for axis in kept if input_shape[axis] is None]
        if unknown:
            raise ValueError(
                f'Normalization "{self.name}" needs to know the size of axis {unknown[0]}, got '
                f"shape {tuple(input_shape)}."
            )
        self._kept = kept
        self._shape: Any = [input_shape[a] if a in kept else 1 for a in range(rank)]
        sizes = [input_shape[axis] for axis in kept]
        dtype = self.variable_dtype
        mean, variance = torch.zeros(sizes, dtype=dtype), torch.ones(sizes, dtype=dtype)  # type: ignore[arg-type]
        if self._is_given:
            mean = mean + self._given(self.input_mean, sizes)
            variance = variance * self._given(self.input_variance, sizes)
        # What was given is part of the configuration, what was learned is state.
        self.register_buffer("mean", mean, persistent=not self._is_given)
        self.register_buffer("variance", variance, persistent=not self._is_given)
        count = None if self._is_given else torch.zeros((), dtype=torch.int64)
        self.register_buffer("count", count)
        if kept:
            ends = {axis - rank: input_shape[axis] for axis in kept}
            self.input_spec = InputSpec(ndim=rank, axes=ends)  # type: ignore[arg-type]

    def _kept_axes(self, rank: int) -> list[int]:
        if self.axis == "auto":
            if rank < 2:
                return []
            return [1 if rank >= 4 and self._image_format == "channels_first" else rank - 1]
        if any(not -rank <= axis < rank for axis in self.axis):
            raise ValueError(
                f'Normalization "{self.name}": axis={self.axis} lies outside an input with '
                f"{rank} axes."
            )
        return sorted(axis % rank for axis in self.axis)

    def _given(self, values: Any, sizes: list) -> Tensor:
        values = torch.as_tensor(
            as_torch_takes(values), dtype=self.variable_dtype, device=torch.get_default_device()
        )
        try:
            return values.broadcast_to(sizes)
        except RuntimeError as error:
            raise ValueError(
                f'Normalization "{self.name}": mean and variance of shape {tuple(values.shape)} do '
                f"not fit kept axes of sizes {sizes}."
            ) from error

    def get_config(self) -> dict[str, Any]:
        """The arguments; axes that the image format decides are named once they are known."""
        chosen = {"axis": list(self._kept)} if self.axis == "auto" and self.built else {}
        return {**super().get_config(), **chosen}

    def own_weights(self) -> list[KerasWeight]:
        """Mean, variance and Keras's count, which nothing reads; none if they were given."""
        if self._is_given or "mean" not in self._buffers:
            return []
        return [KerasWeight(n, getattr(self, n)) for n in ("mean", "variance", "count")]

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, or undo it."""
        x = x.to(self.compute_dtype)
        zero = x.new_zeros(())  # where `x` is symbolic, so is then what becomes of the statistics
        mean = (self.mean + zero).reshape(self._shape).to(x.dtype)
        deviation = (self.variance + zero).sqrt().clamp(min=epsilon())
        scale = deviation.reshape(self._shape).to(x.dtype)
        return x * scale + mean if self.invert else (x - mean) / scale

    # Learning

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn mean and variance from data, forgetting earlier ones.

        Args:
            data: An array, or batches from a dataset, a `DataLoader` or any iterable, which may
                bring targets too.
            steps: At most so many batches.

        Raises:
            ValueError: If mean and variance were given, or shapes do not fit.
        """
        self._learn(data, steps)

    def reset_state(self) -> None:
        """Forget what was seen of data not yet made use of."""
        if self._is_given:
            raise ValueError(
                f'Normalization "{self.name}" was made with a mean and a variance. Make it without '
                "to learn them by adapt()."
            )
        self._seen = 0
        self._mean_so_far = self._squares_so_far = None

    def update_state(self, data: Any) -> None:
        """Merge the statistics of a batch into those so far (Chan, Golub and LeVeque 1979)."""
        batch = as_array(data, "Normalization")
        if not self.built:
            # The batch axis may have any size, unless it has statistics of its own.
            shape = tuple(batch.shape)
            free = bool(shape) and 0 not in self._kept_axes(len(shape))
            with torch.device(batch.device):
                self.build((None, *shape[1:]) if free else shape)
        assert self.input_spec is None or self.input_spec.check(batch, self.name) is None
        rows = max(_CHUNK // max(math.prod(batch.shape[1:]), 1), 1)
        whole = batch.dim() == 0 or 0 in self._kept
        for part in [batch] if whole else batch.split(rows):
            self._merge(part)

    def _merge(self, part: Tensor) -> None:
        if part.device.type == "mps":
            part = part.cpu()  # which has no float64
        values = part.double()
        averaged = [axis for axis in range(values.dim()) if axis not in self._kept]
        count = math.prod(values.shape[axis] for axis in averaged)
        if not count:
            return
        mean = values.mean(averaged) if averaged else values
        shape = [values.shape[a] if a in self._kept else 1 for a in range(values.dim())]
        squares = (values - mean.reshape(shape)).square()
        squares = squares.sum(averaged) if averaged else squares
        if self._mean_so_far is None:
            self._mean_so_far, self._squares_so_far = torch.zeros_like(mean), torch.zeros_like(mean)
        assert self._squares_so_far is not None
        total = self._seen + count
        apart = mean - self._mean_so_far
        self._mean_so_far = self._mean_so_far + apart * (count / total)
        between = apart.square() * (self._seen * count / total)
        self._squares_so_far = self._squares_so_far + squares + between
        self._seen = total

    def finalize_state(self) -> None:
        """Take mean and variance from all that was seen."""
        if self._mean_so_far is None or self._squares_so_far is None:
            raise ValueError("Normalization.adapt: there are no rows in the data.")
        self.mean.copy_(self._mean_so_far)
        self.variance.copy_(self._squares_so_far / self._seen)
