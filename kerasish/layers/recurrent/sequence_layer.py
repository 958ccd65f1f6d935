"""How a recurrent layer runs over whole sequences: in torch's kernel, or step by step.

Legend: B batch, T time, F features, U units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from kerasish import random
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.recurrent.kinds import Recurrence
from kerasish.layers.recurrent.over_time import OverTime
from kerasish.layers.recurrent.states import as_states
from kerasish.layers.recurrent.stepping import (
    back_in_place,
    counted_first,
    last_counted,
    run_steps,
)


class SequenceLayer(OverTime, Recurrence):
    """What SimpleRNN, LSTM and GRU share: the choice of how to run."""

    suffix = "_l0"
    _straight = False  # whether a plain call is nothing but torch's kernel

    def __init__(self, *settings: Any, use_cudnn: Any, **kwargs: Any) -> None:
        super().__init__(*settings, **kwargs)
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
        dropping = self.training and self.recurrent_dropout
        # Lengths that differ from row to row are values, which no exported program may hold.
        packing = torch.compiler.is_exporting() and self._packs(mask)
        if self._kernel and not dropping and not packing:
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
        if self._packs(mask) and not x.is_meta:
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

    def _packs(self, mask: Tensor | None) -> bool:
        """Whether the cell state is wanted, which torch's kernel gives for the last step only."""
        return mask is not None and self.num_states == 2 and (self.return_state or self.stateful)

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
