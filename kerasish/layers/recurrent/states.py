"""First states given by a caller, and states carried from one batch to the next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.layers.base import Layer


def as_states(value: Any, x: Tensor) -> list[Any]:
    """A caller's states as a list (nested lists stay), of tensors on the device of `x`."""
    many = isinstance(value, (list, tuple))
    return [_as_state(state, x) for state in (value if many else [value])]


def _as_state(value: Any, x: Tensor) -> Any:
    if isinstance(value, (list, tuple)):
        return [_as_state(item, x) for item in value]
    return torch.as_tensor(value).to(device=x.device, dtype=x.dtype)


class StatefulMixin(Layer):
    """States kept between batches in buffers that no file stores."""

    stateful: bool = False
    _nesting: Any = None  # the structure of the carried states, numbers of buffers in place of them

    @property
    def states(self) -> list[Any] | None:
        """The states that the next batch starts from; `None` before the first."""
        return None if self._nesting is None else self._nested(self._nesting)

    def _nested(self, nesting: Any) -> Any:
        if isinstance(nesting, list):
            return [self._nested(item) for item in nesting]
        return self._buffers[f"state_{nesting}"]

    def carried(self, x: Tensor) -> list[Any] | None:
        """The states that a batch like `x` starts from; `None` for zeros.

        Raises:
            ValueError: If the batch has another size than the one before.
        """
        if not self.stateful or self._nesting is None or _lacks_data(x):
            return None
        kept = self._buffers["state_0"]
        assert kept is not None
        if kept.shape[0] != x.shape[0]:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" is stateful and holds the states of '
                f"{kept.shape[0]} sequences, got a batch of {x.shape[0]}. Keep the batch size "
                "(drop the last, shorter batch), or call reset_state() before."
            )
        return self.states

    def carry(self, states: list[Any]) -> None:
        """Keep the states for the next batch, cut off from the graph of this one."""
        count = 0

        def keep(value: Any) -> Any:
            nonlocal count
            if isinstance(value, (list, tuple)):
                return [keep(item) for item in value]
            self.register_buffer(f"state_{count}", value.detach(), persistent=False)
            count += 1
            return count - 1

        first = states[0]
        while isinstance(first, (list, tuple)):
            first = first[0]
        if not _lacks_data(first):
            self._nesting = keep(states)

    def reset_state(self) -> None:
        """Start the next batch from zeros."""
        for name in [name for name in self._buffers if name.startswith("state_")]:
            del self._buffers[name]
        self._nesting = None

    reset_states = reset_state


def _lacks_data(tensor: Tensor) -> bool:
    # Shape inference runs on meta tensors, or on torch's fake ones.
    return tensor.is_meta or type(tensor).__name__ == "FakeTensor"
