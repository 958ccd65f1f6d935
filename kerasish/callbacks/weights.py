"""Keeping a copy of a model's weights and putting it back."""

from __future__ import annotations

import copy
from typing import Any

import torch

Snapshot = dict[str, Any]


@torch.no_grad()
def snapshot(model: torch.nn.Module, into: Snapshot | None = None) -> Snapshot:
    """Copy the state of a model to the CPU, so that no device memory is taken.

    Args:
        model: Any module.
        into: An earlier copy, whose memory is used again where shapes are the same.
    """
    kept: Snapshot = {}
    for name, value in model.state_dict().items():
        old: Any = (into or {}).get(name)
        if not isinstance(value, torch.Tensor):
            kept[name] = copy.deepcopy(value)
        elif _fits(old, value):
            kept[name] = old.copy_(value)
        else:
            kept[name] = value.detach().to("cpu", copy=True)
    return kept


def _fits(old: Any, value: torch.Tensor) -> bool:
    return isinstance(old, torch.Tensor) and (old.shape, old.dtype) == (value.shape, value.dtype)


def restore(model: torch.nn.Module, kept: Snapshot) -> None:
    """Put a copy made by `snapshot` back."""
    model.load_state_dict(kept)
