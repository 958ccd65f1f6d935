"""Convolutional LSTM: an LSTM whose products are convolutions.

Legend: B batch, T time, C channels, S the spatial axes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn

from kerasish import random
from kerasish.layers.arguments import LayerOptions
from kerasish.layers.checks import one_of, positive_int, sizes
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.recurrent.over_time import OverTime
from kerasish.layers.recurrent.settings import RecurrentSettings
from kerasish.layers.recurrent.states import as_states
from kerasish.layers.recurrent.stepping import run_steps
from kerasish.layers.spatial import spatial_format
from kerasish.layers.weights import KerasWeight, convolution_kernel
from kerasish.layers.windows import fixed_same_padding, pad_spatial, same_padding

_CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}

Sizes = int | tuple[int, ...] | list[int]


class _ConvLSTM(OverTime, RecurrentSettings):
    """The convolutional LSTM of any rank."""

    rank: ClassVar[int]
    num_states = 2
    convolution: nn.Module
    recurrent_convolution: nn.Module

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        recurrent = recurrent_initializer, recurrent_regularizer, recurrent_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        given = activation, recurrent_activation, use_bias, kernel, recurrent, bias
        drops = dropout, recurrent_dropout, seed
        super().__init__(
            *given,
            *drops,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.filters = positive_int(self, "filters", filters)
        self.kernel_size = sizes(self, "kernel_size", kernel_size, self.rank)
        self.strides = sizes(self, "strides", strides, self.rank)
        self.dilation_rate = sizes(self, "dilation_rate", dilation_rate, self.rank)
        self.padding = one_of(self, "padding", padding, ("valid", "same"))
        self.data_format = spatial_format(self.rank, data_format)
        self.unit_forget_bias = unit_forget_bias
        self.input_spec = InputSpec(ndim=self.rank + 3, hint="Add a time axis.")

    @property
    def _channel_axis(self) -> int:
        return 2 if self.data_format == "channels_first" else self.rank + 2

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the two convolutions."""
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" needs to know the number of channels (axis '
                f"{self._channel_axis}), got shape {tuple(input_shape)}."
            )
        same = self.padding == "same"
        windows = self.kernel_size, self.strides, self.dilation_rate
        self._padding = fixed_same_padding(*windows) if same else (0,) * self.rank
        ones = (1,) * self.rank
        self._recurrent_padding = fixed_same_padding(self.kernel_size, ones, ones)
        make = _CONVOLUTIONS[self.rank]
        gates, dtype = 4 * self.filters, self.variable_dtype
        self.convolution = make(
            channels,
            gates,
            self.kernel_size,
            stride=self.strides,
            padding=self._padding or 0,
            dilation=self.dilation_rate,
            bias=self.use_bias,
            dtype=dtype,
        )
        self.recurrent_convolution = make(
            self.filters,
            gates,
            self.kernel_size,
            padding=self._recurrent_padding or 0,
            bias=False,
            dtype=dtype,
        )
        self.input_spec = InputSpec(ndim=self.rank + 3, axes={self._channel_axis: channels})

    def own_weights(self) -> list[KerasWeight]:
        """Kernel, recurrent kernel and bias."""
        if not hasattr(self, "convolution"):
            return []
        layout = convolution_kernel(self.rank)
        kernel: Any = self.convolution.weight
        recurrent: Any = self.recurrent_convolution.weight
        weights = [
            KerasWeight("kernel", kernel, *self._kernel_rules, **layout),
            KerasWeight("recurrent_kernel", recurrent, *self._recurrent_rules, **layout),
        ]
        if self.use_bias:
            bias: Any = self.convolution.bias
            weights.append(KerasWeight("bias", bias, *self._bias_rules))
        return weights

    def _initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        values = super()._initial_bias(shape, dtype).clone()
        if self.unit_forget_bias:
            values[self.filters : 2 * self.filters] = 1
        return values

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; the axis order is named."""
        return {**super().get_config(), "data_format": self.data_format}

    def forward(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor | None = None
    ) -> Any:
        """Run over time.

        Args:
            sequences: `(B, T, C, S)`, or `(B, T, S, C)` with the channels last.
            initial_state: Hidden and cell state, in the output's axis order. `None` means zeros,
                or where the last batch ended if `stateful`.
            mask: `(B, T)`, true where a step counts.
        """
        last = self.data_format == "channels_last"
        x = sequences.movedim(-1, 2) if last else sequences
        x, mask = self._in_order(x, mask)
        gates = self._project(x)
        states = self.carried(x)
        if initial_state is not None:
            states = as_states(initial_state, x)
            states = [state.movedim(-1, 1) for state in states] if last else states
        if states is None:
            zeros = gates.new_zeros(gates.shape[0], self.filters, *gates.shape[3:])
            states = [zeros, zeros]
        outputs, output, states = self._run(gates, states, mask)
        if self.stateful:
            self.carry(states)
        result = outputs.movedim(2, -1) if last else outputs
        if not self.return_sequences:
            result = output.movedim(1, -1) if last else output
        states = [state.movedim(1, -1) for state in states] if last else states
        return (result, *states) if self.return_state else result

    def _project(self, x: Tensor) -> Tensor:
        """The inputs' part of all gates, for all steps at once."""
        if self.training and self.dropout:
            shape = [None, 1, *[None] * (self.rank + 1)]
            x = random.dropout(x, self.dropout, shape, self.seeds)
        frames = x.flatten(0, 1)
        if self._padding is None:
            windows = (frames.shape[2:], self.kernel_size, self.strides, self.dilation_rate)
            frames = pad_spatial(frames, [same_padding(*w) for w in zip(*windows, strict=True)])
        return self.convolution(frames).unflatten(0, x.shape[:2])

    def _run(self, gates: Tensor, states: list[Tensor], mask: Tensor | None) -> tuple:
        drop = None
        if self.training and self.recurrent_dropout:
            ones = torch.ones_like(states[0])
            drop = random.dropout(ones, self.recurrent_dropout, seed=self.seeds)

        def step(x: Tensor, before: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            h, c = before
            h = h if drop is None else h * drop
            i, f, g, o = (x + self._recur(h)).chunk(4, 1)
            gate = self.recurrent_activation
            c = gate(f) * c + gate(i) * self.activation(g)
            h = gate(o) * self.activation(c)
            return h, [h, c]

        return run_steps(
            step,
            gates,
            states,
            mask,
            zero_output_for_mask=self.zero_output_for_mask,
            last_only=not self.return_sequences,
        )

    def _recur(self, h: Tensor) -> Tensor:
        if self._recurrent_padding is None:
            windows = zip(h.shape[2:], self.kernel_size, (1,) * self.rank, strict=True)
            h = pad_spatial(h, [same_padding(*window) for window in windows])
        return self.recurrent_convolution(h)


class ConvLSTM2D(_ConvLSTM):
    """Convolutional LSTM over sequences of images.

    Shapes:
        input: `(batch, time, channels, height, width)`, or
            `(batch, time, height, width, channels)`
        convolution.weight: `(4 * filters, channels, *kernel_size)`; in `get_weights`
            `(*kernel_size, channels, 4 * filters)`
        output: as the input with `filters` channels, without the time axis unless
            `return_sequences`

    Args:
        filters: The number of output channels. Positive.
        kernel_size: The window, one number or one for each axis; of both convolutions.
        strides: The step between windows on the input.
        padding: `"valid"` pads the input with nothing, `"same"` with zeros.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the setting for images,
            and for sequences `"channels_last"`.
        dilation_rate: The step between the elements of a window on the input.
        activation: Of candidate and output.
        recurrent_activation: Of the gates.
        use_bias: Whether to add a learned offset.
        unit_forget_bias: Whether the forget gate's bias starts at one.
        **kwargs: Those of `Layer`.

    The arguments not named here are those of `LSTM`.

    Raises:
        ValueError: If an argument is out of range, or the number of channels unknown.
    """

    rank = 2


class ConvLSTM1D(_ConvLSTM):
    """Convolutional LSTM over sequences of sequences.

    The arguments are those of `ConvLSTM2D`.

    Shapes:
        input: `(batch, time, length, channels)`, or `(batch, time, channels, length)`
        output: as the input with `filters` channels, without the time axis unless
            `return_sequences`
    """

    rank = 1


class ConvLSTM3D(_ConvLSTM):
    """Convolutional LSTM over sequences of volumes.

    The arguments are those of `ConvLSTM2D`.

    Shapes:
        input: `(batch, time, channels, depth, height, width)`, or
            `(batch, time, depth, height, width, channels)`
        output: as the input with `filters` channels, without the time axis unless
            `return_sequences`
    """

    rank = 3
