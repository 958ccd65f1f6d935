"""Transposed convolutions: from few positions to many."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor, nn

from kerasish.layers.arguments import LayerOptions
from kerasish.layers.checks import sizes
from kerasish.layers.convolution import FilterConvolution, Sizes
from kerasish.layers.spatial import laid_out

_MODULES: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def transposed_crops(
    kernel: int, stride: int, dilation: int, padding: str, output_padding: int | None
) -> tuple[int, int]:
    """How much of the whole result to cut before and after; negative where it is extended.

    The whole result has `(size - 1) * stride + reach` positions, where `reach` is how far a window
    reaches. Keras wants, of these,

    - `"valid"`: all, and at least `size * stride`;
    - `"same"`: `size * stride`, or `(size - 1) * stride + reach % 2 + output_padding`.

    Example:
        >>> transposed_crops(3, stride=2, dilation=1, padding="same", output_padding=None)
        (0, 1)
    """
    reach = (kernel - 1) * dilation + 1
    if padding == "valid":
        return 0, -(max(stride - reach, 0) if output_padding is None else output_padding)
    wanted = stride if output_padding is None else reach % 2 + output_padding
    surplus = reach - wanted
    # Of an odd surplus the greater half goes at the end; what is lacking is added at the end.
    before = max(surplus // 2, 0)
    return before, surplus - before


class TransposedConvolution(FilterConvolution):
    """The transposed convolution of any rank: each input position spreads a weighted kernel.

    Args:
        filters: The number of output channels. Positive.
        kernel_size: The window, one number or one for each axis.
        strides: How far apart the windows of neighbouring input positions are.
        padding: `"valid"` keeps all positions a window reaches; `"same"` gives `size * strides`.
        output_padding: How much longer the output is at its end than need be, less than `strides`.
            `None` chooses.
        data_format: `"channels_first"` or `"channels_last"`.
        dilation_rate: The step between the elements of a window.
        activation: Applied to the result. `None` keeps it linear.
        use_bias: Whether to add a learned number for each filter.
        kernel_initializer: Fills the kernel, Glorot-uniform by default.
        bias_initializer: Fills the bias, zeros by default.
        kernel_regularizer: A penalty on the kernel.
        bias_regularizer: A penalty on the bias.
        activity_regularizer: A penalty on the output.
        kernel_constraint: Applied to the kernel after each update.
        bias_constraint: Applied to the bias after each update.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        output_padding: Sizes | None = None,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        given = kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        super().__init__(filters, kernel, *given, bias, activity_regularizer, **kwargs)
        self.output_padding = self._checked_output_padding(output_padding)
        extra: tuple = (None,) * self.rank if self.output_padding is None else self.output_padding
        windows = zip(self.kernel_size, self.strides, self.dilation_rate, extra, strict=True)
        self.crops = [transposed_crops(*w[:3], self.padding, w[3]) for w in windows]
        uneven = [before - after if after > before else None for before, after in self.crops]
        ends = (slice(None), slice(None), *(slice(None, end) for end in uneven))
        self._ends = ends if any(uneven) else None

    def _checked_output_padding(self, value: Sizes | None) -> tuple[int, ...] | None:
        if value is None:
            return None
        amounts = sizes(self, "output_padding", value, self.rank, minimum=0)
        if any(amount >= stride for amount, stride in zip(amounts, self.strides, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: `output_padding` must be less than `strides`, got "
                f"{amounts} and {self.strides}."
            )
        return amounts

    @property
    def is_transparent(self) -> bool:
        """Always: what is cut does not depend on the input's size."""
        return True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the torch module for the input's channels; it cuts what it can by itself."""
        conv = _MODULES[self.rank](
            self.channels_of(input_shape),
            self.filters,
            self.kernel_size,
            stride=self.strides,
            padding=tuple(before for before, _ in self.crops),
            output_padding=tuple(max(before - after, 0) for before, after in self.crops),
            dilation=self.dilation_rate,
            bias=self.use_bias,
            dtype=self.variable_dtype,
        )
        self.conv = laid_out(conv, self.data_format)

    def transform(self, x: Tensor) -> Tensor:
        """Spread the input, channels first, and cut the end where torch cannot."""
        y = self.conv(x)
        return y if self._ends is None else y[self._ends]


class Conv1DTranspose(TransposedConvolution):
    """The transposed convolution of sequences.

    Shapes:
        input: `(batch, steps, channels)`, or `(batch, channels, steps)` with
            `data_format="channels_first"`. The setting for images does not matter here.
        conv.weight: `(channels, filters, kernel_size)`; `(kernel_size, filters, channels)` in
            `get_weights`
        output: `(batch, new_steps, filters)`

    The arguments are those of `TransposedConvolution`.

    Example:
        >>> Conv1DTranspose(4, 3, strides=2, padding="same").compute_output_shape((None, 10, 8))
        (None, 20, 4)
    """

    rank = 1


class Conv2DTranspose(TransposedConvolution):
    """The transposed convolution of images.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        conv.weight: `(channels, filters, kh, kw)`; `(kh, kw, filters, channels)` in `get_weights`
        output: as the input, larger, with `filters` channels

    The arguments are those of `TransposedConvolution`.

    Example:
        >>> Conv2DTranspose(4, 3, strides=2, padding="same").compute_output_shape((None, 8, 5, 5))
        (None, 4, 10, 10)
    """

    rank = 2


class Conv3DTranspose(TransposedConvolution):
    """The transposed convolution of volumes.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        conv.weight: `(channels, filters, kd, kh, kw)`; `(kd, kh, kw, filters, channels)` in
            `get_weights`
        output: as the input, larger, with `filters` channels

    The arguments are those of `TransposedConvolution`; here, as in Keras, `data_format` is the
    fifth and `output_padding` the sixth.

    Example:
        >>> Conv3DTranspose(4, 2, strides=2).compute_output_shape((None, 8, 3, 3, 3))
        (None, 4, 6, 6, 6)
    """

    rank = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Sizes | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        windows = kernel_size, strides, padding, output_padding, data_format, dilation_rate
        fills = kernel_initializer, bias_initializer
        penalties = kernel_regularizer, bias_regularizer, activity_regularizer
        limits = kernel_constraint, bias_constraint
        given = activation, use_bias, *fills, *penalties, *limits
        super().__init__(filters, *windows, *given, **kwargs)


# Keras's other names.
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
