"""Convolutions that treat each channel by itself, and those that mix the channels afterwards."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from kerasish.layers.arguments import LayerOptions
from kerasish.layers.checks import positive_int
from kerasish.layers.convolution import CONVOLUTIONS, BaseConvolution, Sizes
from kerasish.layers.rules import Rules, found_rules
from kerasish.layers.weights import KerasWeight, convolution_kernel


def depthwise_kernel(rank: int, multiplier: int) -> dict[str, Any]:
    """From (in × multiplier, 1, *window) to Keras's (*window, in, multiplier), and back."""

    def to_keras(weight: Tensor) -> Tensor:
        return weight.unflatten(0, (-1, multiplier)).squeeze(2).movedim((0, 1), (-2, -1))

    def from_keras(kernel: Tensor) -> Tensor:
        return kernel.movedim((-2, -1), (0, 1)).flatten(0, 1).unsqueeze(1)

    return {"to_keras": to_keras, "from_keras": from_keras}


class ChannelwiseConvolution(BaseConvolution):
    """What both kinds share: a kernel that meets each channel by itself."""

    def __init__(self, depth_multiplier: int, depthwise: Rules, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.depth_multiplier = positive_int(self, "depth_multiplier", depth_multiplier)
        rules = found_rules(depthwise)
        self.depthwise_initializer, self.depthwise_regularizer, self.depthwise_constraint = rules

    def depthwise_weight(self, name: str, conv: Any) -> KerasWeight:
        """The declaration of the kernel that meets each channel by itself."""
        rules = self.depthwise_initializer, self.depthwise_regularizer, self.depthwise_constraint
        layout = depthwise_kernel(self.rank, self.depth_multiplier)
        return KerasWeight(name, conv.weight, *rules, **layout)


class DepthwiseConvolution(ChannelwiseConvolution):
    """The depthwise convolution of any rank: each channel has kernels of its own.

    Args:
        kernel_size: The window, one number or one for each axis.
        strides: The step between windows.
        padding: `"valid"` pads nothing; `"same"` pads to `ceil(size / stride)` positions.
        depth_multiplier: The number of output channels for each input channel. Positive.
        data_format: `"channels_first"` or `"channels_last"`.
        dilation_rate: The step between the elements of a window.
        activation: Applied to the result. `None` keeps it linear.
        use_bias: Whether to add a learned number for each output channel.
        depthwise_initializer: Fills the kernel, Glorot-uniform by default.
        bias_initializer: Fills the bias, zeros by default.
        depthwise_regularizer: A penalty on the kernel.
        bias_regularizer: A penalty on the bias.
        activity_regularizer: A penalty on the output.
        depthwise_constraint: Applied to the kernel after each update.
        bias_constraint: Applied to the bias after each update.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range.
    """

    conv: Any

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        given = kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias
        depthwise = depthwise_initializer, depthwise_regularizer, depthwise_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        super().__init__(depth_multiplier, depthwise, *given, bias, activity_regularizer, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the torch convolution, with as many groups as there are channels."""
        channels = self.channels_of(input_shape)
        self.conv = self.make(channels, channels * self.depth_multiplier, groups=channels)

    def own_weights(self) -> list[KerasWeight]:
        """Kernel and bias."""
        if not hasattr(self, "conv"):
            return []
        return [self.depthwise_weight("kernel", self.conv), *self.bias_weight(self.conv.bias)]

    def transform(self, x: Tensor) -> Tensor:
        """Convolve, channels first."""
        return self.conv(self.pad(x))


class DepthwiseConv1D(DepthwiseConvolution):
    """Convolves each channel of a sequence by itself.

    Shapes:
        input: `(batch, steps, channels)`, or `(batch, channels, steps)` with
            `data_format="channels_first"`. The setting for images does not matter here.
        conv.weight: `(channels * depth_multiplier, 1, kernel_size)`; `(kernel_size, channels,
            depth_multiplier)` in `get_weights`
        output: `(batch, new_steps, channels * depth_multiplier)`

    The arguments are those of `DepthwiseConvolution`.

    Example:
        >>> DepthwiseConv1D(3, depth_multiplier=2).compute_output_shape((None, 10, 8))
        (None, 8, 16)
    """

    rank = 1


class DepthwiseConv2D(DepthwiseConvolution):
    """Convolves each channel of an image by itself.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        conv.weight: `(channels * depth_multiplier, 1, kh, kw)`; `(kh, kw, channels,
            depth_multiplier)` in `get_weights`
        output: as the input, with `channels * depth_multiplier` channels

    The arguments are those of `DepthwiseConvolution`.

    Example:
        >>> DepthwiseConv2D(3, padding="same").compute_output_shape((None, 8, 5, 5))
        (None, 8, 5, 5)
    """

    rank = 2


class SeparableConvolution(ChannelwiseConvolution):
    """The separable convolution of any rank: depthwise, then 1×1 across channels.

    Args:
        filters: The number of output channels. Positive.
        kernel_size: The window of the depthwise part.
        strides: The step between windows.
        padding: `"valid"` pads nothing; `"same"` pads to `ceil(size / stride)` positions.
        data_format: `"channels_first"` or `"channels_last"`.
        dilation_rate: The step between the elements of a window.
        depth_multiplier: How many channels the depthwise part makes of each. Positive.
        activation: Applied to the result. `None` keeps it linear.
        use_bias: Whether to add a learned number for each filter.
        depthwise_initializer: Fills the depthwise kernel, Glorot-uniform by default.
        pointwise_initializer: Fills the 1×1 kernel, Glorot-uniform by default.
        bias_initializer: Fills the bias, zeros by default.
        depthwise_regularizer: A penalty on the depthwise kernel.
        pointwise_regularizer: A penalty on the 1×1 kernel.
        bias_regularizer: A penalty on the bias.
        activity_regularizer: A penalty on the output.
        depthwise_constraint: Applied to the depthwise kernel after each update.
        pointwise_constraint: Applied to the 1×1 kernel after each update.
        bias_constraint: Applied to the bias after each update.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range.
    """

    depthwise: Any
    pointwise: Any

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        given = kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias
        depthwise = depthwise_initializer, depthwise_regularizer, depthwise_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        super().__init__(depth_multiplier, depthwise, *given, bias, activity_regularizer, **kwargs)
        self.filters = positive_int(self, "filters", filters)
        rules = found_rules((pointwise_initializer, pointwise_regularizer, pointwise_constraint))
        self.pointwise_initializer, self.pointwise_regularizer, self.pointwise_constraint = rules

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the two torch convolutions."""
        channels = self.channels_of(input_shape)
        deep = channels * self.depth_multiplier
        self.depthwise = self.make(channels, deep, groups=channels, bias=False)
        self.pointwise = CONVOLUTIONS[self.rank](
            deep, self.filters, 1, bias=self.use_bias, dtype=self.variable_dtype
        )

    def own_weights(self) -> list[KerasWeight]:
        """Depthwise kernel, pointwise kernel and bias."""
        if not hasattr(self, "pointwise"):
            return []
        point = (self.pointwise_initializer, self.pointwise_regularizer, self.pointwise_constraint)
        point_layout = convolution_kernel(self.rank)
        return [
            self.depthwise_weight("depthwise_kernel", self.depthwise),
            KerasWeight("pointwise_kernel", self.pointwise.weight, *point, **point_layout),
            *self.bias_weight(self.pointwise.bias),
        ]

    def transform(self, x: Tensor) -> Tensor:
        """Convolve each channel, then mix the channels."""
        return self.pointwise(self.depthwise(self.pad(x)))


class SeparableConv1D(SeparableConvolution):
    """Convolves each channel of a sequence by itself, then mixes the channels.

    Shapes:
        input: `(batch, steps, channels)`, or `(batch, channels, steps)` with
            `data_format="channels_first"`. The setting for images does not matter here.
        depthwise.weight: `(channels * depth_multiplier, 1, kernel_size)`
        pointwise.weight: `(filters, channels * depth_multiplier, 1)`
        output: `(batch, new_steps, filters)`

    The arguments are those of `SeparableConvolution`.

    Example:
        >>> SeparableConv1D(4, 3).compute_output_shape((None, 10, 8))
        (None, 8, 4)
    """

    rank = 1


class SeparableConv2D(SeparableConvolution):
    """Convolves each channel of an image by itself, then mixes the channels.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        depthwise.weight: `(channels * depth_multiplier, 1, kh, kw)`
        pointwise.weight: `(filters, channels * depth_multiplier, 1, 1)`
        output: as the input, with `filters` channels

    The arguments are those of `SeparableConvolution`.

    Example:
        >>> SeparableConv2D(4, 3, padding="same").compute_output_shape((None, 8, 5, 5))
        (None, 4, 5, 5)
    """

    rank = 2


# Keras's other names.
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
