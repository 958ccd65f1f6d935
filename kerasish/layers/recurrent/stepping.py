"""Running over time: a plain loop of steps, and masks for kernels that know none.

Legend: B batch, T time, F features, U units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.graph.symbolic import is_symbolic


def choose(mask: Tensor, new: Any, old: Any) -> Any:
    """Rows of `new` where the mask is true and of `old` elsewhere, in nested lists of tensors."""
    if isinstance(new, (list, tuple)):
        return [choose(mask, a, b) for a, b in zip(new, old, strict=True)]
    return torch.where(mask.view(-1, *[1] * (new.dim() - 1)), new, old)


def run_steps(
    step: Callable[[Tensor, Any], tuple[Tensor, Any]],
    inputs: Tensor,
    states: Any,
    mask: Tensor | None = None,
    *,
    zero_output_for_mask: bool = False,
    last_only: bool = False,
) -> tuple[Tensor, Tensor, Any]:
    """Call `step(input, states)` for each time step.

    A masked step leaves the states as they are; its output is that of the step before, or zero.

    Args:
        step: Gives the output and the new states.
        inputs: `(B, T, ...)`.
        states: The first states: a tensor, or nested lists of them.
        mask: True where a step counts.
        zero_output_for_mask: Whether the output of a masked step is zero.
        last_only: Whether only the last output is wanted.

    Returns:
        All outputs `(B, T, ...)` (only the last if `last_only`), the last output, the last states.
    """
    length = inputs.shape[1]
    # Without data one step tells the shapes; a thousand would tell them no better. A symbolic
    # tensor, though, is here for its code to be followed, by to_torch().
    tells_shapes = inputs.is_meta and not is_symbolic(inputs)
    steps = inputs[:, :1].unbind(1) if tells_shapes else inputs.unbind(1)
    outputs, output = [], None
    for time, x in enumerate(steps):
        new_output, new_states = step(x, states)
        if mask is not None:
            empty = output is None or zero_output_for_mask
            keep = mask[:, time]
            output = choose(keep, new_output, torch.zeros_like(new_output) if empty else output)
            states = choose(keep, new_states, states)
        else:
            output, states = new_output, new_states
        if not last_only:
            outputs.append(output)
    if output is None:
        raise ValueError(f"A recurrent layer needs at least one time step, got {inputs.shape}.")
    if last_only:
        return output.unsqueeze(1), output, states
    stacked = torch.stack(outputs, 1)
    if tells_shapes:
        stacked = stacked.expand(-1, length, *stacked.shape[2:])
    return stacked, output, states


def take_steps(x: Tensor, steps: Tensor) -> Tensor:
    """For each row the given time steps: `(B, T, F)` and `(B, N)` give `(B, N, F)`."""
    # As an embedding lookup, which copies whole rows: several times faster than gather.
    # Row numbers are counted off a tensor, so that to_torch() can follow this code.
    rows = torch.ones_like(steps[:, :1]).cumsum(0) - 1
    return F.embedding(steps + rows * x.shape[1], x.flatten(0, 1))


def counted_first(x: Tensor, mask: Tensor) -> Tensor:
    """Each row's steps with those that count moved to the front, in their order.

    A state that passes a masked step unchanged is a state that never saw it: so a kernel without
    masks may run over the steps that count, then over the others, whose results are dropped.
    """
    if torch.compiler.is_exporting():
        # No two keys are alike, so that any sort keeps the order: ONNX knows no stable one.
        number = torch.ones_like(mask, dtype=torch.int64).cumsum(1)
        keys = torch.where(mask, x.shape[1], 0) - number
        return take_steps(x, torch.argsort(keys, dim=1, descending=True))
    return take_steps(x, torch.argsort(mask, dim=1, descending=True, stable=True))


def back_in_place(outputs: Tensor, mask: Tensor, *, zero_output_for_mask: bool) -> Tensor:
    """Undo `counted_first` on a kernel's outputs.

    Returns:
        `(B, T, U)`: at a masked step the output of the last step that counted, or zero.
    """
    count = mask.cumsum(1)
    found = take_steps(outputs, (count - 1).clamp(min=0))
    shown = mask if zero_output_for_mask else count > 0
    return torch.where(shown.unsqueeze(-1), found, 0.0)


def last_counted(outputs: Tensor, mask: Tensor, otherwise: Tensor | float) -> Tensor:
    """The output of the last step that counts, `(B, U)`; `otherwise` in rows without any."""
    count = mask.sum(1, keepdim=True)
    found = take_steps(outputs, (count - 1).clamp(min=0)).squeeze(1)
    return torch.where(count > 0, found, otherwise)
