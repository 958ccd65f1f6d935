"""RNN: any cell run over time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from kerasish.graph.symbolic import map_nested
from kerasish.layers.arguments import ActivityOptions
from kerasish.layers.base import Layer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.recurrent.cells import StackedRNNCells, _Cell, check_cell, initial_state
from kerasish.layers.recurrent.over_time import OverTime
from kerasish.layers.recurrent.states import as_states
from kerasish.layers.recurrent.stepping import run_steps


class RNN(OverTime):
    """Runs a cell over time, step by step.

    `SimpleRNN`, `LSTM` and `GRU` do the same for their cells in one kernel, far faster.

    Shapes:
        input: `(batch, time, ...)`
        output: `(batch, ...)`, or `(batch, time, ...)` if `return_sequences`

    Args:
        cell: Called on `(inputs, states)`, gives `(output, new_states)` and has a `state_size`; or
            a list of such, which are stacked. A cell computes in its own types; what comes out
            is cast to this layer's.
        return_sequences: Whether to give all outputs rather than the last.
        return_state: Whether to give the last states as well.
        go_backwards: Whether to run from the last step to the first; outputs come in that order.
        stateful: Whether each batch starts from the states that the last one ended with.
        unroll: Accepted for Keras's sake.
        zero_output_for_mask: Whether a masked step's output is zero rather than that of the step
            before.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `cell` is no cell.

    Example:
        >>> from kerasish.layers import LSTMCell
        >>> RNN([LSTMCell(4), LSTMCell(2)])(torch.ones(3, 7, 5)).shape
        torch.Size([3, 2])
    """

    casts_outputs = False  # what the layers inside give stays as they give it

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Unpack[ActivityOptions],
    ) -> None:
        super().__init__(
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            **kwargs,
        )
        cell = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell
        check_cell("RNN", cell)
        self.cell = cell
        self.input_spec = InputSpec(min_ndim=3, hint="Add a time axis.")

    @property
    def state_size(self) -> list[Any]:
        """The size of each state."""
        size = self.cell.state_size
        return list(size) if isinstance(size, (list, tuple)) else [size]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the cell for one step."""
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((input_shape[0], *input_shape[2:]))

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """The states that a batch starts from."""
        states = initial_state(self.cell, torch.empty(batch_size, 0, dtype=self.compute_dtype))
        return list(states) if isinstance(states, (list, tuple)) else [states]

    @property
    def num_states(self) -> int:
        """How many states the cell has."""
        return len(self.state_size)

    def forward(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor | None = None
    ) -> Any:
        """Run over time.

        Args:
            sequences: `(batch, time, ...)`.
            initial_state: A tensor, or a list of as many as there are states. `None` means those
                of the cell, or where the last batch ended if `stateful`.
            mask: `(batch, time)`, true where a step counts.

        Returns:
            The last output, or all if `return_sequences`; followed by the last states if
            `return_state`.
        """
        x, mask = self._in_order(sequences, mask)
        states = self._first_states(x, initial_state)
        with self._held_masks():
            outputs, output, states = run_steps(
                self._step,
                x,
                states,
                mask,
                zero_output_for_mask=self.zero_output_for_mask,
                last_only=not self.return_sequences,
            )
        if self.stateful:
            self.carry(states)
        result = outputs if self.return_sequences else output
        result = (result, *states) if self.return_state else result
        return map_nested(self._as_own_type, result) if self._holds_other_types else result

    @property
    def _holds_other_types(self) -> bool:
        """Whether a cell has another policy than this layer's, and so casts what it takes."""
        modules = self.cell.modules() if isinstance(self.cell, nn.Module) else ()
        name = self.dtype_policy.name
        return any(isinstance(one, Layer) and one.dtype_policy.name != name for one in modules)

    def _first_states(self, x: Tensor, given: Any) -> list[Any]:
        if given is not None:
            return as_states(given, x)
        states = self.carried(x)
        if states is None:
            states = initial_state(self.cell, x)
        return list(states) if isinstance(states, (list, tuple)) else [states]

    def _step(self, x: Tensor, states: list[Any]) -> tuple[Tensor, list[Any]]:
        cell = self.cell
        # Past Layer.__call__, whose checks are done once for the whole sequence, and so are its
        # casts unless the cell computes in a type of its own.
        passes = isinstance(cell, Layer) and cell.dtype_policy.name == self.dtype_policy.name
        call = nn.Module.__call__ if passes else type(cell).__call__
        output, after = call(cell, x, states)
        return output, list(after) if isinstance(after, (list, tuple)) else [after]

    @contextmanager
    def _held_masks(self) -> Iterator[None]:
        """Let cells draw one dropout mask for the whole sequence."""
        modules = self.cell.modules() if isinstance(self.cell, nn.Module) else ()
        cells = [cell for cell in modules if isinstance(cell, _Cell)]
        for cell in cells:
            cell.held_masks = {}
        try:
            yield
        finally:
            for cell in cells:
                cell.held_masks = None
