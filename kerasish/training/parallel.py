"""Several processes or several devices as one: what training asks of them."""

from __future__ import annotations

from typing import Any

import torch


def num_processes() -> int:
    """How many processes train together."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def process_number() -> int:
    """This process's number among them, from 0."""
    return torch.distributed.get_rank() if num_processes() > 1 else 0


def gather(part: Any) -> list[Any]:
    """What each process has, in their order; every process must call it."""
    if num_processes() == 1:
        return [part]
    parts: list[Any] = [None] * num_processes()
    torch.distributed.all_gather_object(parts, part)
    return parts
