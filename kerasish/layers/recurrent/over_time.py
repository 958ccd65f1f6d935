"""What layers that run over time share: the order of steps, and what they give back.

Legend: B batch, T time, U units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.layers.recurrent.states import StatefulMixin


class OverTime(StatefulMixin):
    """A layer that takes steps in order and gives the last output, or all of them."""

    num_states: Any  # how many tensors a state is made of

    def __init__(
        self,
        *settings: Any,
        return_sequences: bool,
        return_state: bool,
        go_backwards: bool,
        stateful: bool,
        unroll: bool,
        zero_output_for_mask: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*settings, **kwargs)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The input's mask on the sequence, none on a single output or on states."""
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        kept = mask if self.return_sequences else None
        return [kept] + [None] * self.num_states if self.return_state else kept

    def _in_order(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The steps as they will be taken, and a boolean mask `(B, T)` for them."""
        if mask is not None:
            mask = mask.to(torch.bool).reshape(x.shape[:2])
        if not self.go_backwards:
            return x, mask
        return x.flip(1), None if mask is None else mask.flip(1)
