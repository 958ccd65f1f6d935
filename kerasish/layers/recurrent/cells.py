"""Cells: one step of a recurrence as a layer, and stacks of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from kerasish.describe import describe
from kerasish.layers.arguments import ActivityOptions
from kerasish.layers.base import Layer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.recurrent.kinds import (
    GRURecurrence,
    LSTMRecurrence,
    Recurrence,
    SimpleRecurrence,
)


class _Cell(Recurrence):
    """What cells share: the torch cell, and random masks held for a whole sequence."""

    # One mask serves all steps of a sequence: `RNN` sets a dict before and None after.
    held_masks: dict[str, Tensor | None] | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the torch cell."""
        features = input_shape[-1]
        if features is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" needs to know the number of features, got '
                f"shape {tuple(input_shape)}."
            )
        self._adopt(self._make_core(features))
        self.input_spec = InputSpec(ndim=2, axes={-1: features})

    def _make_core(self, features: int) -> nn.Module:
        raise NotImplementedError

    def forward(self, inputs: Tensor, states: Any) -> tuple[Tensor, Any]:
        """One step.

        Args:
            inputs: `(batch, features)`.
            states: A tensor `(batch, units)`, or a list of as many as there are states.

        Returns:
            The output, and the new states, in a list if they came in one.
        """
        nested = isinstance(states, (list, tuple))
        before = list(states) if nested else [states]
        drop_x = self._mask("inputs", inputs, self.dropout)
        drop_h = self._mask("state", before[0], self.recurrent_dropout)
        x = inputs if drop_x is None else inputs * drop_x
        if drop_h is None and self.fits_kernel:
            after = self.core(x, before[0] if self.num_states == 1 else tuple(before))
            after = [after] if self.num_states == 1 else list(after)
        else:
            after = self.advance(self.project(x), before, drop_h)
        return after[0], after if nested else after[0]

    def _mask(self, name: str, like: Tensor, rate: float) -> Tensor | None:
        if self.held_masks is None:
            return self.dropped(like, rate)
        if name not in self.held_masks:
            self.held_masks[name] = self.dropped(like, rate)
        return self.held_masks[name]


class SimpleRNNCell(SimpleRecurrence, _Cell):
    """One step of `SimpleRNN`: `cell(inputs, states)` gives `(output, new_states)`.

    The arguments are those of `SimpleRNN` that concern one step.

    Shapes:
        inputs: `(batch, features)`
        states: `(batch, units)`, or a list of one
        output: `(batch, units)`

    Raises:
        ValueError: If an argument is out of range.
    """

    rnn: nn.RNNCell

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        **kwargs: Unpack[ActivityOptions],
    ) -> None:
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        recurrent = recurrent_initializer, recurrent_regularizer, recurrent_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        given = activation, None, use_bias, kernel, recurrent, bias
        drops = dropout, recurrent_dropout, seed
        super().__init__(units, *given, *drops, **kwargs)

    def _make_core(self, features: int) -> nn.Module:
        return nn.RNNCell(
            features, self.units, self.use_bias, self.nonlinearity, dtype=self.variable_dtype
        )


class LSTMCell(LSTMRecurrence, _Cell):
    """One step of `LSTM`: `cell(inputs, [h, c])` gives `(h, [h, c])`.

    The arguments are those of `LSTM` that concern one step.

    Shapes:
        inputs: `(batch, features)`
        states: a list of two, `(batch, units)` each
        output: `(batch, units)`

    Raises:
        ValueError: If an argument is out of range.
    """

    lstm: nn.LSTMCell

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        **kwargs: Unpack[ActivityOptions],
    ) -> None:
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        recurrent = recurrent_initializer, recurrent_regularizer, recurrent_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        given = activation, recurrent_activation, use_bias, kernel, recurrent, bias
        drops = dropout, recurrent_dropout, seed
        super().__init__(units, *given, *drops, unit_forget_bias=unit_forget_bias, **kwargs)

    def _make_core(self, features: int) -> nn.Module:
        return nn.LSTMCell(features, self.units, self.use_bias, dtype=self.variable_dtype)


class GRUCell(GRURecurrence, _Cell):
    """One step of `GRU`: `cell(inputs, states)` gives `(output, new_states)`.

    The arguments are those of `GRU` that concern one step.

    Shapes:
        inputs: `(batch, features)`
        states: `(batch, units)`, or a list of one
        output: `(batch, units)`

    Raises:
        ValueError: If an argument is out of range.
    """

    gru: nn.GRUCell

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: Any = None,
        **kwargs: Unpack[ActivityOptions],
    ) -> None:
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        recurrent = recurrent_initializer, recurrent_regularizer, recurrent_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        given = activation, recurrent_activation, use_bias, kernel, recurrent, bias
        drops = dropout, recurrent_dropout, seed
        super().__init__(units, *given, *drops, reset_after=reset_after, **kwargs)

    def _make_core(self, features: int) -> nn.Module:
        return nn.GRUCell(features, self.units, self.use_bias, dtype=self.variable_dtype)


def check_cell(owner: str, cell: Any) -> None:
    """Make sure that something can serve as a cell.

    Raises:
        ValueError: If it cannot be called or has no `state_size`.
    """
    if not callable(cell) or not hasattr(cell, "state_size"):
        raise ValueError(
            f"{owner}: a cell is called on (inputs, states), gives (output, new_states) and has a "
            f"`state_size`; got {describe(cell)}."
        )


def initial_state(cell: Any, x: Tensor) -> Any:
    """A cell's first states for a batch like `x`, on its device and of its type."""
    batch_size = x.shape[0]
    if hasattr(cell, "get_initial_state"):
        # There at once: nobody waits for zeros, but for copies of them to a GPU.
        with x.device if x.is_cuda else nullcontext():
            states = cell.get_initial_state(batch_size=batch_size)
    else:
        sizes = cell.state_size
        many = isinstance(sizes, (list, tuple))
        zeros = [x.new_zeros(batch_size, size) for size in (sizes if many else [sizes])]
        states = zeros if many else zeros[0]
    return _moved(states, x)


def _moved(states: Any, x: Tensor) -> Any:
    if isinstance(states, (list, tuple)):
        return [_moved(state, x) for state in states]
    states = torch.as_tensor(states)
    both = states.is_floating_point() and x.is_floating_point()
    return states.to(x.device, x.dtype if both else states.dtype)


class StackedRNNCells(Layer):
    """Several cells as one: each step passes through all of them.

    Args:
        cells: The cells, from the first to the last.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If one of them is no cell.
    """

    casts_outputs = False  # what the layers inside give stays as they give it

    cells: nn.ModuleList

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(cells, (list, tuple)) or not cells:
            raise ValueError(f"StackedRNNCells: expected a list of cells, got {describe(cells)}.")
        for cell in cells:
            check_cell("StackedRNNCells", cell)
        self.cells = list(cells)  # type: ignore[assignment]

    @property
    def state_size(self) -> list[Any]:
        """The sizes of each cell's states."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """The size of the last cell's output."""
        last: Any = self.cells[-1]
        size = getattr(last, "output_size", None) or last.state_size
        return size[0] if isinstance(size, (list, tuple)) else size

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """The first states of each cell."""
        like = torch.empty(batch_size, 0, dtype=self.compute_dtype)
        return [initial_state(cell, like) for cell in self.cells]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build each cell for the output of the one before."""
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
            size = getattr(cell, "output_size", None) or cell.state_size
            input_shape = (input_shape[0], size[0] if isinstance(size, (list, tuple)) else size)  # type: ignore[assignment]

    def forward(self, inputs: Tensor, states: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        """One step through all cells; `states` holds those of each cell."""
        after = []
        for cell, before in zip(self.cells, states, strict=True):
            inputs, new = cell(inputs, before)
            many = isinstance(before, (list, tuple))
            after.append(new[0] if isinstance(new, (list, tuple)) and not many else new)
        return inputs, after
