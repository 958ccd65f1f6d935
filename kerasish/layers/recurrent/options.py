"""The options that recurrent layers take by keyword, as type checkers and editors see them."""

from __future__ import annotations

from typing import Any

from kerasish.layers.arguments import LayerOptions


class TimeOptions(LayerOptions, total=False):
    """What every layer that runs over time takes by keyword."""

    return_sequences: bool
    return_state: bool
    go_backwards: bool
    stateful: bool
    unroll: bool
    zero_output_for_mask: bool


class RecurrentOptions(TimeOptions, total=False):
    """What recurrent layers take by keyword; cells take what does not concern time."""

    kernel_initializer: Any
    recurrent_initializer: Any
    bias_initializer: Any
    kernel_regularizer: Any
    recurrent_regularizer: Any
    bias_regularizer: Any
    kernel_constraint: Any
    recurrent_constraint: Any
    bias_constraint: Any
    dropout: float
    recurrent_dropout: float
    seed: Any
    use_cudnn: Any
