"""Bidirectional: a recurrent layer run in both directions of time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish import registry
from kerasish.describe import describe
from kerasish.graph.symbolic import map_nested
from kerasish.layers.base import Layer
from kerasish.layers.checks import one_of


class Bidirectional(Layer):
    """Runs a recurrent layer forwards and a copy of it backwards, and merges their outputs.

    Shapes:
        input: `(batch, time, features)`
        output: those of the layer; twice the features if `merge_mode="concat"`

    Args:
        layer: The recurrent layer. Both directions are made anew from its configuration.
        merge_mode: How to merge: `"concat"`, `"sum"`, `"mul"`, `"ave"`, or `None` for both outputs.
        weights: First values: the forward layer's, then the backward layer's.
        backward_layer: The layer for the backward direction, if not a copy of the other.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If a layer is no recurrent layer.
        ValueError: If the two do not fit together, or the merge mode is unknown.

    Example:
        >>> from kerasish.layers import LSTM
        >>> Bidirectional(LSTM(4))(torch.ones(2, 7, 3)).shape
        torch.Size([2, 8])
    """

    casts_outputs = False  # what the layers inside give stays as they give it

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: list | None = None,
        backward_layer: Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for given in (layer, backward_layer):
            if given is not None and not hasattr(given, "go_backwards"):
                raise TypeError(
                    f"Bidirectional: expected a recurrent layer, got {describe(given)}."
                )
        self.merge_mode = one_of(
            self, "merge_mode", merge_mode, ("concat", "sum", "mul", "ave", None)
        )
        self.forward_layer: Any = _copy(layer, "forward_")
        if backward_layer is None:
            flipped = not layer.go_backwards
            self.backward_layer: Any = _copy(layer, "backward_", go_backwards=flipped)
        else:
            self.backward_layer = backward_layer
        self._check_pair()
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.stateful = layer.stateful
        # A backward output that repeats "the step before" would repeat a later one.
        for one in (self.forward_layer, self.backward_layer):
            one.zero_output_for_mask = self.return_sequences
        self._first_values = weights
        self.input_spec = layer.input_spec
        self.supports_masking = True

    def _check_pair(self) -> None:
        one, other = self.forward_layer, self.backward_layer
        if one.go_backwards == other.go_backwards:
            raise ValueError("Bidirectional: the two layers must differ in `go_backwards`.")
        for option in ("stateful", "return_sequences", "return_state"):
            if getattr(one, option) != getattr(other, option):
                raise ValueError(
                    f"Bidirectional: both layers must have the same `{option}`, got "
                    f"{getattr(one, option)} forwards and {getattr(other, option)} backwards."
                )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build both layers."""
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(input_shape)
        self.input_spec = self.forward_layer.input_spec

    def _finish_build(self) -> None:
        super()._finish_build()
        if self._first_values is not None:
            self.set_weights(self._first_values)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The input's mask on sequences, none on single outputs or on states."""
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        kept = mask if self.return_sequences else None
        return [kept, kept] if self.merge_mode is None else [kept]

    def reset_state(self) -> None:
        """Start the next batch from zeros."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    @property
    def states(self) -> list[Any] | None:
        """The carried states of both directions."""
        one, other = self.forward_layer.states, self.backward_layer.states
        return [*one, *other] if one and other else None

    def forward(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor | None = None
    ) -> Any:
        """Run both ways and merge.

        Args:
            sequences: `(batch, time, features)`.
            initial_state: The states of the forward layer, then those of the backward layer.
            mask: `(batch, time)`, true where a step counts.
        """
        if initial_state is None and mask is None:
            one, other = self.forward_layer(sequences), self.backward_layer(sequences)
        else:
            half = 0 if initial_state is None else len(initial_state) // 2
            first = None if initial_state is None else list(initial_state)
            one = self.forward_layer(sequences, initial_state=first and first[:half], mask=mask)
            other = self.backward_layer(sequences, initial_state=first and first[half:], mask=mask)
        states: tuple = ()
        if self.return_state:
            states = (*one[1:], *other[1:])
            one, other = one[0], other[0]
        if self.return_sequences:
            other = other.flip(1)
        merged = self._merge(one, other)
        if self.merge_mode is None:
            result = (*merged, *states)
        else:
            result = (merged, *states) if states else merged
        return map_nested(self._as_own_type, result) if self._holds_other_types else result

    @property
    def _holds_other_types(self) -> bool:
        """Whether a layer inside has another policy than this one's."""
        name = self.dtype_policy.name
        inner = self.forward_layer, self.backward_layer
        return any(layer.dtype_policy.name != name for layer in inner)

    def _merge(self, one: Tensor, other: Tensor) -> Any:
        match self.merge_mode:
            case "concat":
                return torch.cat([one, other], -1)
            case "sum":
                return one + other
            case "ave":
                return (one + other) / 2
            case "mul":
                return one * other
        return one, other


def _copy(layer: Layer, prefix: str, **changes: Any) -> Layer:
    """The layer made again from its configuration, with another name."""
    base = layer.name.removeprefix("forward_").removeprefix("backward_")
    config = {**layer.get_config(), **changes, "name": prefix + base}
    return type(layer).from_config(registry.serialize(config))
