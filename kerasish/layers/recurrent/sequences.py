"""SimpleRNN, LSTM and GRU: torch's kernels over whole sequences, with Keras's options."""

from __future__ import annotations

from typing import Any, Unpack

from torch import nn

from kerasish.layers.arguments import LayerOptions
from kerasish.layers.recurrent.kinds import GRURecurrence, LSTMRecurrence, SimpleRecurrence
from kerasish.layers.recurrent.sequence_layer import SequenceLayer


class SimpleRNN(SimpleRecurrence, SequenceLayer):
    """`h' = activation(x W + h U + b)` at each step.

    Shapes:
        input: `(batch, time, features)`
        rnn.weight_ih_l0: `(units, features)`; `(features, units)` in `get_weights`
        rnn.weight_hh_l0: `(units, units)`; `(units, units)` in `get_weights`
        output: `(batch, units)`, or `(batch, time, units)` if `return_sequences`

    Args:
        units: The size of output and state. Positive.
        activation: Of the state. tanh and relu run in torch's kernel.
        use_bias: Whether to add a learned offset.
        **kwargs: Those of `Layer`.

    The arguments not named here are those of `LSTM`.

    Raises:
        ValueError: If an argument is out of range, or the number of features unknown.

    Example:
        >>> import torch
        >>> SimpleRNN(4)(torch.ones(2, 7, 3)).shape
        torch.Size([2, 4])
    """

    rnn: nn.RNN

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: Any = None,
        *,
        use_cudnn: Any = "auto",
        zero_output_for_mask: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        recurrent = recurrent_initializer, recurrent_regularizer, recurrent_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        given = activation, None, use_bias, kernel, recurrent, bias
        drops = dropout, recurrent_dropout, seed
        super().__init__(
            units,
            *given,
            *drops,
            use_cudnn=use_cudnn,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )

    def _make_core(self, features: int) -> nn.Module:
        return nn.RNN(
            features,
            self.units,
            nonlinearity=self.nonlinearity,
            bias=self.use_bias,
            batch_first=True,
            dtype=self.variable_dtype,
        )


class LSTM(LSTMRecurrence, SequenceLayer):
    """Long short-term memory: `c' = f c + i g`, `h' = o tanh(c')` at each step.

    Shapes:
        input: `(batch, time, features)`
        lstm.weight_ih_l0: `(4 * units, features)`; `(features, 4 * units)` in `get_weights`
        lstm.weight_hh_l0: `(4 * units, units)`; `(units, 4 * units)` in `get_weights`
        output: `(batch, units)`, or `(batch, time, units)` if `return_sequences`

    Args:
        units: The size of output and state. Positive.
        activation: Of candidate and output. Any but tanh runs step by step.
        recurrent_activation: Of the gates.
        use_bias: Whether to add a learned offset.
        kernel_initializer: Fills the kernel, which meets the inputs.
        recurrent_initializer: Fills the recurrent kernel, which meets the state.
        bias_initializer: Fills the bias.
        unit_forget_bias: Whether the forget gate's bias starts at one.
        kernel_regularizer: A penalty on the kernel.
        recurrent_regularizer: A penalty on the recurrent kernel.
        bias_regularizer: A penalty on the bias.
        kernel_constraint: Applied to the kernel after each update.
        recurrent_constraint: Applied to the recurrent kernel after each update.
        bias_constraint: Applied to the bias after each update.
        dropout: The part of the inputs' features to drop, the same at all steps.
        recurrent_dropout: The part of the state to drop on its way into the recurrent
            kernel, the same at all steps. Above zero, training runs step by step, slowly.
        seed: Makes the dropout repeatable.
        return_sequences: Whether to give all outputs rather than the last.
        return_state: Whether to give the last states as well.
        go_backwards: Whether to run from the last step to the first; outputs come in that order.
        stateful: Whether each batch starts from the states that the last one ended with.
        unroll: Accepted for Keras's sake.
        use_cudnn: `False` runs the plain loop of steps even where torch's kernel fits.
        zero_output_for_mask: Whether a masked step's output is zero rather than that of the step
            before.
        activity_regularizer: A penalty on the output.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range, or the number of features unknown.

    Example:
        >>> import torch
        >>> LSTM(4)(torch.ones(2, 7, 3)).shape
        torch.Size([2, 4])
    """

    lstm: nn.LSTM

    def __init__(
        self,
        units: int,
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
        unroll: bool = False,
        use_cudnn: Any = "auto",
        *,
        zero_output_for_mask: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        recurrent = recurrent_initializer, recurrent_regularizer, recurrent_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        given = activation, recurrent_activation, use_bias, kernel, recurrent, bias
        drops = dropout, recurrent_dropout, seed
        super().__init__(
            units,
            *given,
            *drops,
            unit_forget_bias=unit_forget_bias,
            use_cudnn=use_cudnn,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )

    def _make_core(self, features: int) -> nn.Module:
        return nn.LSTM(
            features,
            self.units,
            bias=self.use_bias,
            batch_first=True,
            dtype=self.variable_dtype,
        )


class GRU(GRURecurrence, SequenceLayer):
    """Gated recurrent unit: `h' = z h + (1 - z) n` at each step.

    Shapes:
        input: `(batch, time, features)`
        gru.weight_ih_l0: `(3 * units, features)`; `(features, 3 * units)` in `get_weights`
        gru.weight_hh_l0: `(3 * units, units)`; `(units, 3 * units)` in `get_weights`
        output: `(batch, units)`, or `(batch, time, units)` if `return_sequences`

    Args:
        units: The size of output and state. Positive.
        activation: Of the candidate. Any but tanh runs step by step.
        recurrent_activation: Of the gates.
        use_bias: Whether to add a learned offset.
        reset_after: Whether the reset gate comes after the product with the recurrent kernel
            (torch's and cuDNN's GRU), or before it (a slower loop).
        **kwargs: Those of `Layer`.

    The arguments not named here are those of `LSTM`.

    Raises:
        ValueError: If an argument is out of range, or the number of features unknown.

    Example:
        >>> import torch
        >>> GRU(4)(torch.ones(2, 7, 3)).shape
        torch.Size([2, 4])
    """

    gru: nn.GRU

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
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
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        *,
        zero_output_for_mask: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        recurrent = recurrent_initializer, recurrent_regularizer, recurrent_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        given = activation, recurrent_activation, use_bias, kernel, recurrent, bias
        drops = dropout, recurrent_dropout, seed
        super().__init__(
            units,
            *given,
            *drops,
            reset_after=reset_after,
            use_cudnn=use_cudnn,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )

    def _make_core(self, features: int) -> nn.Module:
        return nn.GRU(
            features,
            self.units,
            bias=self.use_bias,
            batch_first=True,
            dtype=self.variable_dtype,
        )
