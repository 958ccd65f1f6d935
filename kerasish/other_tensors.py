"""Modules called with other tensors than their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def call_with(module: nn.Module, others: Mapping[int, Tensor], args: tuple, kwargs: dict) -> Any:
    """Call a module with other tensors in the place of some of its parameters and buffers.

    Tensors are told by themselves, not by names: torch lists a module that is reached by two paths
    under two names, and `functional_call` then puts the wrong tensors back.

    Args:
        module: Any module; afterwards it holds what it held.
        others: What stands for a tensor, by its `id`.
        args: Of the call.
        kwargs: Of the call.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> call_with(layer, {id(layer.weight): torch.full((1, 1), 3.0)}, (torch.ones(1),), {})
        tensor([3.])
    """
    state = {
        f"{path}.{name}" if path else name: others[id(tensor)]
        for path, part in module.named_modules()
        for name, tensor in (*part._parameters.items(), *part._buffers.items())
        if tensor is not None and id(tensor) in others
    }
    return torch.func.functional_call(module, state, args, kwargs, tie_weights=False)
