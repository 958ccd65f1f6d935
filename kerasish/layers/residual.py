"""Paths side by side: residual blocks, highways, and branches as in Inception modules."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish import activations, initializers
from kerasish.describe import describe
from kerasish.graph.abstract import stand_in_shapes
from kerasish.layers.base import Layer
from kerasish.layers.checks import one_of, sizes
from kerasish.layers.convolution import Conv1D, Conv2D, Conv3D
from kerasish.layers.core import Dense
from kerasish.layers.foreign import as_layer
from kerasish.layers.spatial import ChannelLayer
from kerasish.layers.stochastic_depth import StochasticDepth

_CONVOLUTIONS = {1: Conv1D, 2: Conv2D, 3: Conv3D}

Shape = tuple[int | None, ...]


class _Chain(Layer):
    """Layers one after the other; children are named `0`, `1`, … as in `nn.Sequential`."""

    is_transparent = True

    def __init__(self, layers: Any) -> None:
        super().__init__()
        for index, layer in enumerate(layers):
            self.add_module(str(index), as_layer(layer))

    def forward(self, x: Any) -> Any:
        for layer in self._modules.values():
            x = layer(x)  # type: ignore[misc]
        return x


def chain(value: Any) -> Layer:
    """One layer of a layer, a torch module, a function, or a list of these.

    Raises:
        TypeError: If it is none of them.
    """
    return _Chain(value) if isinstance(value, (list, tuple)) else as_layer(value)


class Residual(ChannelLayer):
    """A block with a shortcut around it: `activation(shortcut(x) + block(x))`.

    The shortcut is the input itself as long as the block keeps its shape. Where the block halves
    the height and width, it takes every second activation; where the block makes more channels, the
    new ones are zeros ("pad"), or the shortcut is a 1×1 convolution ("conv").

    Shapes:
        input: `(batch, channels, ...)`, `(batch, ..., channels)` or `(batch, features)`
        output: what `block` gives

    Args:
        block: A layer, or a list of layers to run one after the other.
        shortcut: `"identity"`, `"pad"`, `"conv"`; or a layer or list of layers of your own.
        activation: Applied to the sum. `None` keeps it as it is.
        drop_rate: How often, in training, a sample skips the block: see `StochasticDepth`.
        strides: The step of the shortcut, one number or one for each axis. `None` finds it from the
            sizes that the block gives.
        data_format: Where the channels of images are.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the shortcut cannot have the shape of the block's output.

    Example:
        >>> block = [Conv2D(16, 3, strides=2, padding="same", activation="relu"),
        ...          Conv2D(16, 3, padding="same")]
        >>> Residual(block, shortcut="pad").compute_output_shape((None, 8, 32, 32))
        (None, 16, 16, 16)

    Reference: He et al. (2015), "Deep Residual Learning for Image Recognition".
    """

    is_transparent = True

    def __init__(
        self,
        block: Any,
        shortcut: Any = "identity",
        *,
        activation: Any = None,
        drop_rate: float = 0.0,
        strides: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.block = chain(block)
        self.kind = "layer"
        if isinstance(shortcut, str):
            self.kind = one_of(self, "shortcut", shortcut, ("identity", "pad", "conv"))
        self.shortcut = None if isinstance(shortcut, str) else chain(shortcut)
        self.activation = activations.get(activation)
        self.stochastic_depth = StochasticDepth(drop_rate) if drop_rate else None
        self.strides = strides
        self.supports_masking = True
        self._every: tuple[slice, ...] | None = None
        self._new_channels: list[int] | None = None

    def build(self, input_shape: Shape) -> None:
        """Build the block, and from the shape that it gives, the shortcut."""
        super().build(input_shape)
        output_shape = self.block.compute_output_shape(input_shape)
        if self.kind == "layer":
            assert self.shortcut is not None
            if self.shortcut.compute_output_shape(input_shape) != output_shape:
                self._refuse(input_shape, output_shape, "make the shortcut give the same shape")
            return
        steps = self._steps(input_shape, output_shape)
        channels, wanted = input_shape[self.channel_axis], output_shape[self.channel_axis]
        if channels == wanted or self.kind != "conv":
            self._every = self._subsampling(steps)
        if channels == wanted:
            return
        if self.kind == "conv":
            self.shortcut = self._convolution(wanted, steps)
            self.shortcut.compute_output_shape(input_shape)
        elif self.kind == "pad" and None not in (channels, wanted) and wanted > channels:
            behind = len(input_shape) - 1 - self.channel_axis
            self._new_channels = [0, 0] * behind + [0, wanted - channels]
        else:
            self._refuse(input_shape, output_shape, 'use shortcut="conv", or "pad" to add channels')

    def _spatial(self, shape: Shape) -> list[int | None]:
        return [size for axis, size in enumerate(shape) if axis not in (0, self.channel_axis)]

    def _steps(self, input_shape: Shape, output_shape: Shape) -> list[int]:
        """How many input positions there are for each output position, along each axis."""
        rank = len(input_shape) - 2
        if len(output_shape) != len(input_shape):
            self._refuse(input_shape, output_shape, "the block must keep the number of axes")
        if self.strides is not None:
            steps = list(sizes(self, "strides", self.strides, rank)) if rank else []
        else:
            # Where a size is unknown, a large one with many divisors tells the ratio.
            is_known = None not in self._spatial(input_shape)
            whole = stand_in_shapes(input_shape)[-1]
            reached = output_shape if is_known else self.block.compute_output_shape(whole)
            pairs = zip(self._spatial(whole), self._spatial(reached), strict=True)
            steps = [-(-size // max(out or 1, 1)) for size, out in pairs if size is not None]
        for size, out, step in zip(
            self._spatial(input_shape), self._spatial(output_shape), steps, strict=True
        ):
            if size is not None and -(-size // step) != out:
                advice = 'give the block padding="same", or pass a shortcut of your own'
                self._refuse(input_shape, output_shape, advice)
        return steps

    def _subsampling(self, steps: list[int]) -> tuple[slice, ...] | None:
        if all(step == 1 for step in steps):
            return None
        places = [slice(None, None, step) for step in steps]
        places.insert(self.channel_axis - 1, slice(None))
        return (slice(None), *places)

    def _convolution(self, channels: Any, steps: list[int]) -> Layer:
        common = {"use_bias": False, "name": "shortcut", "dtype": self.dtype_policy}
        if not steps:
            return Dense(channels, **common)
        return _CONVOLUTIONS[len(steps)](
            channels, 1, strides=tuple(steps), data_format=self.data_format, **common
        )

    def _refuse(self, input_shape: Shape, output_shape: Shape, advice: str) -> None:
        raise ValueError(
            f'Residual "{self.name}": the block makes {output_shape} of {tuple(input_shape)}, '
            f"which the shortcut does not fit; {advice}."
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The input's mask, unless steps are left out."""
        return mask if self._every is None and self.shortcut is None else None

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to what the block gives."""
        y = self.block(x)
        if self.stochastic_depth is not None:
            y = self.stochastic_depth(y)
        if self.shortcut is not None:
            x = self.shortcut(x)
        if self._every is not None:
            x = x[self._every]
        if self._new_channels is not None:
            x = F.pad(x, self._new_channels)
        return self.activation(x + y)


class Highway(ChannelLayer):
    """A learned mix of a block and its input: `T(x) * H(x) + (1 - T(x)) * x`.

    Shapes:
        input: `(batch, features)`, `(batch, steps, features)`, or images with their channels
        output: the same

    Args:
        block: H, a layer or list of layers that keeps the shape. By default a `Dense` layer with
            `activation`, and for images a 3×3 convolution.
        gate: T, likewise, giving numbers from 0 to 1. By default a `Dense` layer with a sigmoid,
            and for images a 3×3 convolution.
        activation: That of the default block.
        gate_bias: First value of the default gate's bias. Negative, so that at first the input
            passes nearly unchanged.
        data_format: Where the channels of images are.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the block does not keep the shape.

    Reference: Srivastava et al. (2015), "Highway Networks".
    """

    is_transparent = True

    def __init__(
        self,
        block: Any = None,
        gate: Any = None,
        *,
        activation: Any = "relu",
        gate_bias: float = -2.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.block = None if block is None else chain(block)
        self.gate = None if gate is None else chain(gate)
        self.activation = activation
        self.gate_bias = gate_bias
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Make the default block and gate where none were given."""
        super().build(input_shape)
        if self.block is None:
            self.block = self._default(input_shape, "block", activation=self.activation)
        if self.gate is None:
            self.gate = self._default(
                input_shape,
                "gate",
                activation="sigmoid",
                bias_initializer=initializers.Constant(self.gate_bias),
            )
        for layer in (self.block, self.gate):
            shape = layer.compute_output_shape(input_shape)
            if len(shape) != len(input_shape) or shape[self.channel_axis] not in (
                1,
                input_shape[self.channel_axis],
            ):
                raise ValueError(
                    f'Highway "{self.name}": "{layer.name}" makes {shape} of {tuple(input_shape)}; '
                    "block and gate must keep the input's shape."
                )

    def _default(self, input_shape: Shape, name: str, **kwargs: Any) -> Layer:
        channels: Any = input_shape[self.channel_axis]
        common = {"name": name, "dtype": self.dtype_policy, **kwargs}
        if self.channel_axis == len(input_shape) - 1 and len(input_shape) < 4:
            return Dense(channels, **common)
        convolution = _CONVOLUTIONS[len(input_shape) - 2]
        return convolution(channels, 3, padding="same", data_format=self.data_format, **common)

    def forward(self, x: Tensor) -> Tensor:
        """Mix."""
        assert self.block is not None
        assert self.gate is not None
        gate = self.gate(x)
        return gate * self.block(x) + (1 - gate) * x


class Branches(ChannelLayer):
    """Several paths from one input, their channels put side by side: an Inception module.

    Shapes:
        input: any
        output: that of the branches, with the channels of all

    Args:
        branches: A list of branches, each a layer or a list of layers to run one after the other.
        merge: A merging layer, such as `Add()` or `ShakeShake()`, instead of concatenation.
        data_format: Where the channels of images are.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If `branches` is not a list.

    Example:
        >>> module = Branches([
        ...     Conv2D(8, 1),
        ...     [Conv2D(4, 1), Conv2D(16, 3, padding="same")],
        ... ])
        >>> module.compute_output_shape((None, 3, 28, 28))
        (None, 24, 28, 28)
    """

    is_transparent = True

    def __init__(
        self, branches: Any, merge: Any = None, *, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if not isinstance(branches, (list, tuple)) or not branches:
            raise TypeError(f"Branches: expected a list of branches, got {describe(branches)}.")
        self.branches = nn.ModuleList(chain(branch) for branch in branches)
        self.merge = None if merge is None else as_layer(merge)

    def forward(self, x: Tensor) -> Tensor:
        """Run every branch on the input, and merge."""
        outputs = [branch(x) for branch in self.branches]
        return torch.cat(outputs, self.channel_axis) if self.merge is None else self.merge(outputs)
