"""Layers that work across channels: paired rectifiers, the best of several, their local energy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kerasish.layers.base import Layer
from kerasish.layers.checks import positive_int
from kerasish.layers.core import Dense
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.spatial import ChannelLayer


class CReLU(ChannelLayer):
    """Both halves of each activation, one after the other: `relu(x[q]), relu(-x[q])`.

    It doubles the channels and loses nothing. With the initializer `"looks_linear"` in the layer
    behind it, the two are linear together at the start of training.

    Shapes:
        input: `(batch, ..., channels)`, or `(batch, channels, ...)` for images
        output: the same with `2 * channels` channels, those of one input channel side by side

    Args:
        data_format: Where the channels of images are.
        **kwargs: Those of `Layer`.

    Example:
        >>> import torch
        >>> CReLU()(torch.tensor([[3.0, -2.0]]))
        tensor([[3., 0., 0., 2.]])

    Reference: Shang et al. (2016), "Understanding and Improving Convolutional Neural Networks via
    Concatenated Rectified Linear Units"; interleaved as in Balduzzi et al. (2017).
    """

    supports_masking = True

    def forward(self, x: Tensor) -> Tensor:
        """Rectify both signs."""
        axis = self.channel_axis
        return torch.stack((x, -x), dim=axis + 1).flatten(axis, axis + 1).relu()


class Maxout(Layer):
    """The largest of several linear functions, for each unit: `max_k(x @ W[k] + b[k])`.

    Shapes:
        input: `(batch, ..., features)`
        dense.linear.weight: `(units * pieces, features)`, the pieces of a unit side by side
        output: `(batch, ..., units)`

    Args:
        units: Size of the last output axis. Positive.
        pieces: The number of linear functions for each unit. Positive.
        use_bias: Whether each has a learned offset.
        kernel_initializer: Fills the kernel, Glorot-uniform by default.
        bias_initializer: Fills the bias, zeros by default.
        kernel_regularizer: A penalty on the kernel.
        bias_regularizer: A penalty on the bias.
        kernel_constraint: Applied to the kernel after each update.
        bias_constraint: Applied to the bias after each update.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If a size is not a positive integer.

    Example:
        >>> Maxout(10, pieces=5).compute_output_shape((None, 784))
        (None, 10)

    Reference: Goodfellow et al. (2013), "Maxout Networks".
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        pieces: int = 2,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive_int(self, "units", units)
        self.pieces = positive_int(self, "pieces", pieces)
        self.dense = Dense(
            self.units * self.pieces,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            dtype=self.dtype_policy,
            name="dense",
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all pieces."""
        self.dense.build(input_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Take the largest piece of each unit."""
        return self.dense(x).unflatten(-1, (self.units, self.pieces)).amax(-1)


class LocalResponseNormalization(ChannelLayer):
    """Divides each activation by the energy of the channels around it, as AlexNet does.

    `x / (k + alpha / size * sum of squares over size channels) ** beta`

    Shapes:
        input: `(batch, channels, ...)`, or channels last
        output: the same

    Args:
        size: The number of neighbouring channels in a sum. Positive.
        alpha: Weighs the sum. As in torch and Caffe it is divided by `size`.
        beta: The exponent.
        k: Added to the weighted sum.
        data_format: Where the channels are.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `size` is not a positive integer.

    Reference: Krizhevsky et al. (2012), "ImageNet Classification with Deep Convolutional Neural
    Networks".
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 2.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.size = positive_int(self, "size", size)
        self.norm = nn.LocalResponseNorm(self.size, alpha, beta, k)
        self.input_spec = InputSpec(min_ndim=3)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over neighbouring channels."""
        if self.channel_axis == 1:
            return self.norm(x)
        return self.norm(x.movedim(-1, 1)).movedim(1, -1)
