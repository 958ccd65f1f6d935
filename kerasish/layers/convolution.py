"""Convolutions over sequences, images and volumes."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from torch import Tensor, nn

from kerasish import activations, ops
from kerasish.layers.arguments import LayerOptions
from kerasish.layers.checks import one_of, positive_int, sizes
from kerasish.layers.lora import LoraLayer
from kerasish.layers.rules import Rules, found_rules
from kerasish.layers.spatial import SpatialLayer, laid_out
from kerasish.layers.weights import KerasWeight, convolution_kernel
from kerasish.layers.windows import fixed_same_padding, pad_spatial, same_padding

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}

_FEW_CHANNELS = 16

Sizes = int | tuple[int, ...] | list[int]


class BaseConvolution(SpatialLayer):
    """What every kind of convolution shares: windows, padding, bias and activation.

    Args:
        kernel_size: The window, one number or one for each axis.
        strides: The step between windows.
        padding: `"valid"`, `"same"`, or for sequences `"causal"`.
        data_format: Where the channels are.
        dilation_rate: The step between the elements of a window.
        activation: Applied to the result.
        use_bias: Whether to add a learned number for each channel.
        bias: Its rules.
        activity_regularizer: A penalty on the output.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If a size or the padding is not what it can be.
    """

    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    skips = False  # whether what the strides skip is left out before the convolution

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes,
        padding: str,
        data_format: str | None,
        dilation_rate: Sizes,
        activation: Any,
        use_bias: bool,
        bias: Rules,
        activity_regularizer: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            data_format=data_format, activity_regularizer=activity_regularizer, **kwargs
        )
        self.kernel_size = sizes(self, "kernel_size", kernel_size, self.rank)
        self.strides = sizes(self, "strides", strides, self.rank)
        self.dilation_rate = sizes(self, "dilation_rate", dilation_rate, self.rank)
        self.padding = one_of(self, "padding", padding, self.paddings)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer, self.bias_regularizer, self.bias_constraint = found_rules(bias)
        # Where torch can pad inside the convolution, it does; else `pad` comes first.
        self.fixed_padding = self._fixed_padding()

    @property
    def is_transparent(self) -> bool:  # type: ignore[override]
        """Whether it is one call of a torch module, whatever the input's size."""
        return self.fixed_padding is not None

    def _fixed_padding(self) -> tuple[int, ...] | None:
        if self.padding == "same":
            return fixed_same_padding(self.kernel_size, self.strides, self.dilation_rate)
        return None if self.padding == "causal" and self.kernel_size != (1,) else (0,) * self.rank

    def pad(self, x: Tensor) -> Tensor:
        """Pad what the convolution itself cannot: unevenly, or by an amount that `x` decides."""
        if self.fixed_padding is not None:
            return x
        if self.padding == "causal":
            return pad_spatial(x, [((self.kernel_size[0] - 1) * self.dilation_rate[0], 0)])
        windows = zip(x.shape[2:], self.kernel_size, self.strides, self.dilation_rate, strict=True)
        return pad_spatial(x, [same_padding(*window) for window in windows])

    def channels_of(self, input_shape: tuple[int | None, ...]) -> int:
        """The number of input channels; from now on no other is accepted."""
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" needs to know the number of channels (axis '
                f"{self.channel_axis}), got shape {tuple(input_shape)}. Give it in Input(...)."
            )
        self.input_spec = self.spec(channels)
        return channels

    def make(
        self, in_channels: int, out_channels: int, *, groups: int = 1, bias: bool = True
    ) -> Any:
        """The torch module that slides this layer's window."""
        conv = CONVOLUTIONS[self.rank](
            in_channels,
            out_channels,
            self.kernel_size,
            stride=1 if self.skips else self.strides,
            padding=self.fixed_padding or 0,
            dilation=self.dilation_rate,
            groups=groups,
            bias=bias and self.use_bias,
            dtype=self.variable_dtype,
        )
        return laid_out(conv, self.data_format)

    def bias_weight(self, bias: Any) -> list[KerasWeight]:
        """The declaration of the bias, if there is one."""
        if not self.use_bias:
            return []
        rules = (self.bias_initializer, self.bias_regularizer, self.bias_constraint)
        return [KerasWeight("bias", bias, *rules)]

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, add the bias, apply the activation."""
        # The activation sees the layer's own axis order: a softmax goes over the last axis.
        return self.activation(super().forward(x))


class FilterConvolution(BaseConvolution):
    """A convolution, or a transposed one, of so many filters with one kernel."""

    conv: Any

    def __init__(self, filters: int, kernel: Rules, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.filters = positive_int(self, "filters", filters)
        rules = found_rules(kernel)
        self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint = rules

    def own_weights(self) -> list[KerasWeight]:
        """Kernel and bias."""
        if not hasattr(self, "conv"):
            return []
        return [self.kernel_weight(), *self.bias_weight(self.conv.bias)]

    def kernel_weight(self) -> KerasWeight:
        """The declaration of the kernel."""
        rules = (self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint)
        # Transposed, torch has (in, out, *window) and Keras (*window, out, in): the same exchange.
        return KerasWeight("kernel", self.conv.weight, *rules, **convolution_kernel(self.rank))


class Convolution(LoraLayer, FilterConvolution):
    """The convolution of any rank; `Conv1D`, `Conv2D` and `Conv3D` are made of it.

    Args:
        filters: The number of output channels. Positive.
        kernel_size: The window, one number or one for each axis.
        strides: The step between windows.
        padding: `"valid"` pads nothing; `"same"` pads with zeros so that the output has
            `ceil(size / stride)` positions; `"causal"` (sequences only) pads at the start.
        data_format: `"channels_first"` or `"channels_last"`.
        dilation_rate: The step between the elements of a window.
        groups: Into how many parts the channels are split, each convolved by itself.
        activation: Applied to the result. `None` keeps it linear.
        use_bias: Whether to add a learned number for each filter.
        kernel_initializer: Fills the kernel, Glorot-uniform by default.
        bias_initializer: Fills the bias, zeros by default.
        kernel_regularizer: A penalty on the kernel.
        bias_regularizer: A penalty on the bias.
        activity_regularizer: A penalty on the output.
        kernel_constraint: Applied to the kernel after each update.
        bias_constraint: Applied to the bias after each update.
        lora_rank: Trains two tensors of this rank in place of the kernel; see `enable_lora`.
        lora_alpha: What their product counts, times `lora_rank`; by default `lora_rank`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range, or the channels do not split into the groups.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        given = kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        lora = {"lora_rank": lora_rank, "lora_alpha": lora_alpha}
        super().__init__(filters, kernel, *given, bias, activity_regularizer, **lora, **kwargs)
        self.groups = positive_int(self, "groups", groups)
        self._check_groups("filters", self.filters)

    def _check_groups(self, what: str, number: int) -> None:
        if number % self.groups:
            raise ValueError(
                f'{type(self).__name__} "{self.name}": {number} {what} do not split into '
                f"`groups` = {self.groups} equal parts."
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the torch convolution for the input's channels."""
        channels = self.channels_of(input_shape)
        self._check_groups("input channels", channels)
        self.skips = self._breaks_torch(channels)
        self.conv = self.make(channels, self.filters, groups=self.groups)

    def _breaks_torch(self, channels: int) -> bool:
        """Whether torch 2.15's gradient of the kernel may write past its memory.

        So it does on CPUs for few channels that come last, as in the shortcut of a small residual
        network. What the window would skip is left out before it, then: the numbers are the same.
        """
        is_point = self.kernel_size == (1, 1) and self.strides != (1, 1) and self.groups == 1
        cls = type(self)
        is_ours = cls.forward is BaseConvolution.forward and cls.transform is Convolution.transform
        return is_point and channels < _FEW_CHANNELS and is_ours

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if "convolution_op" in own and not {"forward", "call"} & own.keys():
            cls.forward = cls.call = Convolution._forward_by_op
            cls.is_transparent = False  # type: ignore[assignment]

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Slide a kernel over inputs, without bias and activation.

        A subclass that overrides it changes what the layer computes; a `call` of one's own may use
        it with a kernel of its own making.

        Args:
            inputs: In the layer's axis order.
            kernel: In Keras's layout, as `self.kernel` is: (*window, channels / groups, filters).
        """
        padding = self.padding
        if padding == "causal":
            last = self.data_format == "channels_last"
            inputs = self.pad(inputs.movedim(-1, 1)).movedim(1, -1) if last else self.pad(inputs)
            padding = "valid"
        options = self.strides, padding, self.data_format, self.dilation_rate
        return ops.conv(inputs, kernel, *options)

    def _forward_by_op(self, x: Tensor) -> Tensor:
        """Convolve by `convolution_op`, add the bias, apply the activation."""
        y = self.convolution_op(x, self.kernel)
        if self.use_bias:
            axes = (-1,) if self.data_format == "channels_last" else (-1, *[1] * self.rank)
            y = y + self.conv.bias.view(axes)
        return self.activation(y)

    def own_weights(self) -> list[KerasWeight]:
        """Kernel and bias, and what LoRA adds."""
        return [*super().own_weights(), *self.lora_weights()]

    def adapted(self) -> tuple[Any, KerasWeight]:
        """The torch convolution and its kernel."""
        return self.conv, self.kernel_weight()

    def transform(self, x: Tensor) -> Tensor:
        """Convolve, channels first."""
        if self.skips:
            x = x[:, :, :: self.strides[0], :: self.strides[1]]
        return self.conv(self.pad(x))


class Conv1D(Convolution):
    """Slides a window over sequences: `activation(conv(x, kernel) + bias)`.

    Shapes:
        input: `(batch, steps, channels)`, or `(batch, channels, steps)` with
            `data_format="channels_first"`. The setting for images does not matter here.
        conv.weight: `(filters, channels / groups, kernel_size)`; `(kernel_size, channels / groups,
            filters)` in `get_weights`
        output: `(batch, new_steps, filters)`

    The arguments are those of `Convolution`.

    Example:
        >>> Conv1D(4, 3, padding="causal").compute_output_shape((None, 10, 8))
        (None, 10, 4)
    """

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(Convolution):
    """Slides a window over images: `activation(conv(x, kernel) + bias)`.

    Shapes:
        input: `(batch, channels, height, width)`, or `(batch, height, width, channels)` with
            `data_format="channels_last"`
        conv.weight: `(filters, channels / groups, kh, kw)`; `(kh, kw, channels / groups, filters)`
            in `get_weights`
        output: as the input, with `filters` channels

    The arguments are those of `Convolution`.

    Example:
        >>> Conv2D(96, 11, strides=4).compute_output_shape((None, 3, 227, 227))
        (None, 96, 55, 55)
    """

    rank = 2


class Conv3D(Convolution):
    """Slides a window over volumes: `activation(conv(x, kernel) + bias)`.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        conv.weight: `(filters, channels / groups, kd, kh, kw)`; `(kd, kh, kw, channels / groups,
            filters)` in `get_weights`
        output: as the input, with `filters` channels

    The arguments are those of `Convolution`.

    Example:
        >>> Conv3D(4, 3, padding="same").compute_output_shape((None, 2, 5, 5, 5))
        (None, 4, 5, 5, 5)
    """

    rank = 3


# Keras's other names.
Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
