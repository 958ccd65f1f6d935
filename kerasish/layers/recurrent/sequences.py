"""SimpleRNN, LSTM and GRU: torch's kernels over whole sequences, with Keras's options.

Legend: B batch, T time, F features, U units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from kerasish import random
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.recurrent.kinds import (
    GRURecurrence,
    LSTMRecurrence,
    Recurrence,
    SimpleRecurrence,
)
from kerasish.layers.recurrent.over_time import OverTime
from kerasish.layers.recurrent.states import as_states
from kerasish.layers.recurrent.stepping import (
    back_in_place,
    counted_first,
    last_counted,
    run_steps,
)


class _SequenceLayer(OverTime, Recurrence):
    """What the three layers share: the choice of how to run."""

    suffix = "_l0"
    _straight = False  # whether a plain call is nothing but torch's kernel

    def __init__(self, *args: Any, use_cudnn: Any = "auto", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.use_cudnn = use_cudnn
        self.input_spec = InputSpec(
            ndim=3, hint="Add an Embedding or Reshape layer before it, or a time axis."
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the torch module."""
        features = input_shape[-1]
        if features is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" needs to know the number of features, got '
                f"shape {tuple(input_shape)}."
            )
        self._adopt(self._make_core(features))
        self.input_spec = InputSpec(ndim=3, axes={-1: features}, hint=self.input_spec.hint)  # type: ignore[union-attr]
        self._kernel = self.fits_kernel and self.use_cudnn is not False
        special = self.go_backwards or self.stateful or self.return_state
        self._straight = self._kernel and not special
        self._drops = self.dropout > 0 or self.recurrent_dropout > 0

    def _make_core(self, features: int) -> nn.Module:
        raise NotImplementedError

    def forward(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor | None = None
    ) -> Any:
        """Run over time.

        Args:
            sequences: `(B, T, F)`.
            initial_state: A tensor `(B, U)`, or a list of as many as there are states. `None`
                means zeros, or where the last batch ended if `stateful`.
            mask: `(B, T)`, true where a step counts. A step that does not leaves the state as it
                is, and its output is that of the step before.

        Returns:
            The last output `(B, U)`, or all `(B, T, U)` if `return_sequences`; followed by the
            last states if `return_state`.
        """
        plain = self._straight and mask is None and initial_state is None
        if plain and not (self._drops and self.training):
            outputs, last = self.core(sequences)
            return outputs if self.return_sequences else self._states_of(last)[0]
        x = sequences
        if self.training and self.dropout:
            x = random.dropout(x, self.dropout, (None, 1, None), self.seeds)
        x, mask = self._in_order(x, mask)
        states = as_states(initial_state, x) if initial_state is not None else self.carried(x)
        if self._kernel and not (self.training and self.recurrent_dropout):
            outputs, output, states = self._run_kernel(x, states, mask)
        else:
            outputs, output, states = self._run_steps(x, states, mask)
        if self.stateful:
            self.carry(states)
        result = outputs if self.return_sequences else output
        return (result, *states) if self.return_state else result

    def _run_steps(self, x: Tensor, states: Any, mask: Tensor | None) -> tuple:
        if states is None:
            states = [x.new_zeros(x.shape[0], self.units) for _ in range(self.num_states)]
        drop = self.dropped(states[0], self.recurrent_dropout)

        def step(projected: Tensor, before: Any) -> tuple[Tensor, Any]:
            after = self.advance(projected, before, drop)
            return after[0], after

        return run_steps(
            step,
            self.project(x),
            states,
            mask,
            zero_output_for_mask=self.zero_output_for_mask,
            last_only=not self.return_sequences,
        )

    def _run_kernel(self, x: Tensor, states: Any, mask: Tensor | None) -> tuple:
        before = None if states is None else self._as_torch(states)
        if mask is None:
            outputs, last = self.core(x, before)
            after = self._states_of(last)
            return outputs, after[0], after
        x = counted_first(x, mask)
        first = 0.0 if states is None else states[0]
        wants_states = self.return_state or self.stateful
        if self.num_states == 2 and wants_states and not x.is_meta:
            raw, after = self._run_packed(x, before, states, mask)
        else:
            raw, last = self.core(x, before)
            after = [last_counted(raw, mask, first), *self._states_of(last)[1:]]
        outputs = output = None
        if self.return_sequences or self.zero_output_for_mask:
            outputs = back_in_place(raw, mask, zero_output_for_mask=self.zero_output_for_mask)
            output = outputs[:, -1]
        else:
            output = last_counted(raw, mask, 0.0)
        return outputs, output, after

    def _run_packed(self, x: Tensor, before: Any, states: Any, mask: Tensor) -> tuple:
        """Run with lengths, the only way to torch's cell state at the last step that counts."""
        lengths = mask.sum(1)
        # Packing wants lengths on the CPU and of at least one step.
        sizes = lengths.clamp(min=1).cpu()
        packed = pack_padded_sequence(x, sizes, batch_first=True, enforce_sorted=False)
        packed_outputs, last = self.core(packed, before)
        raw, _ = pad_packed_sequence(packed_outputs, batch_first=True, total_length=x.shape[1])
        after = self._states_of(last)
        kept = states or [torch.zeros_like(state) for state in after]
        some = (lengths > 0).unsqueeze(-1)
        return raw, [torch.where(some, a, b) for a, b in zip(after, kept, strict=True)]

    def _as_torch(self, states: list[Tensor]) -> Any:
        layered = [state.unsqueeze(0) for state in states]
        return layered[0] if self.num_states == 1 else tuple(layered)

    def _states_of(self, last: Any) -> list[Tensor]:
        return [last[0]] if self.num_states == 1 else [state[0] for state in last]


class SimpleRNN(SimpleRecurrence, _SequenceLayer):
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
        **options: Those of `LSTM` on weights, dropout and time, and those of `Layer`.

    Raises:
        ValueError: If an argument is out of range, or the number of features unknown.

    Example:
        >>> SimpleRNN(4)(torch.ones(2, 7, 3)).shape
        torch.Size([2, 4])
    """

    rnn: nn.RNN

    def _make_core(self, features: int) -> nn.Module:
        return nn.RNN(
            features,
            self.units,
            nonlinearity=self.nonlinearity,
            bias=self.use_bias,
            batch_first=True,
            dtype=self.variable_dtype,
        )


class LSTM(LSTMRecurrence, _SequenceLayer):
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
        **options: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range, or the number of features unknown.

    Example:
        >>> LSTM(4)(torch.ones(2, 7, 3)).shape
        torch.Size([2, 4])
    """

    lstm: nn.LSTM

    def _make_core(self, features: int) -> nn.Module:
        return nn.LSTM(
            features,
            self.units,
            bias=self.use_bias,
            batch_first=True,
            dtype=self.variable_dtype,
        )


class GRU(GRURecurrence, _SequenceLayer):
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
        **options: Those of `LSTM` on weights, dropout and time, and those of `Layer`.

    Raises:
        ValueError: If an argument is out of range, or the number of features unknown.

    Example:
        >>> GRU(4)(torch.ones(2, 7, 3)).shape
        torch.Size([2, 4])
    """

    gru: nn.GRU

    def _make_core(self, features: int) -> nn.Module:
        return nn.GRU(
            features,
            self.units,
            bias=self.use_bias,
            batch_first=True,
            dtype=self.variable_dtype,
        )
