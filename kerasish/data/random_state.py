"""The state of every generator of random numbers that a run draws from."""

from __future__ import annotations

import random as python_random
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.data.order import mix_seed


def host_random_state() -> dict[str, Any]:
    """The states of torch's (the CPU's), NumPy's and Python's global generators."""
    numpy_state: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    name, keys, *rest = numpy_state
    return {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
        "python": python_random.getstate(),
    }


def random_state() -> dict[str, Any]:
    """The states of all these, and of each GPU's generator."""
    state = host_random_state()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put the generators where they were when `random_state` was called."""
    torch.set_rng_state(state["torch"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    python_random.setstate(state["python"])
    saved: list[Tensor] = state.get("cuda", [])
    if torch.cuda.is_available():
        for device, value in enumerate(saved[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(value, device)


def generators_in(holders: Iterable[Any]) -> list[torch.Generator]:
    """The torch generators that objects hold as attributes, each once."""
    found: dict[int, torch.Generator] = {}
    for holder in holders:
        for value in getattr(holder, "__dict__", {}).values():
            if isinstance(value, torch.Generator):
                found[id(value)] = value
    return list(found.values())


def seed_process(seed: int, number: int) -> None:
    """Give one of several processes random numbers of its own; number 0 keeps those it has."""
    if number:
        mixed = mix_seed(seed, number)
        torch.manual_seed(mixed)
        np.random.seed(mixed % 2**32)  # noqa: NPY002
        python_random.seed(mixed)
