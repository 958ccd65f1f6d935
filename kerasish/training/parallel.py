"""Several processes or several devices as one: what `data_parallel` means.

"ddp": the script runs once in each process, started by `torchrun`. Every process takes its part of
each batch, gradients are averaged, and sums of metrics are added up, so that all processes hold the
same weights and report the same numbers.

"dp": one process, whose model runs on all GPUs at once (`replicas`).
"""

from __future__ import annotations

import atexit
import gc
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn

from kerasish.data.random_state import seed_process
from kerasish.data.shard import Shard
from kerasish.describe import describe, suggest, users_level

KINDS = ("dp", "ddp")


def check_kind(value: Any) -> None:
    """Refuse what is no way of training in parallel.

    Raises:
        ValueError: If it is none.
    """
    if value is not None and value not in KINDS:
        hint = suggest(value, KINDS) if isinstance(value, str) else ""
        raise ValueError(
            f"compile: unknown data_parallel {describe(value)}{hint}. It may be None, "
            '"dp" (all GPUs of one process) or "ddp" (processes started by torchrun).'
        )


def num_processes() -> int:
    """How many processes train together."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def process_number() -> int:
    """This process's number among them, from 0."""
    return distributed.get_rank() if num_processes() > 1 else 0


def has_gpus(device: torch.device) -> bool:
    """Whether there are several GPUs to compute on."""
    return device.type == "cuda" and torch.cuda.device_count() > 1


def begin(kind: str | None, device: torch.device) -> None:
    """Join the other processes, if there are any; say so where the setting has no effect."""
    if kind == "ddp":
        if device.type == "cuda" and device.index is not None:
            # Or NCCL would meet all processes on the first GPU, where they gather objects.
            torch.cuda.set_device(device)
        if not distributed.is_initialized() and "WORLD_SIZE" in os.environ:
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            )
            atexit.register(_leave)
        if num_processes() == 1 and "WORLD_SIZE" not in os.environ:
            warnings.warn(
                'compile: data_parallel="ddp" has no effect in a single process; start the script '
                "with torchrun --nproc-per-node=N script.py.",
                stacklevel=users_level(),
            )
    elif kind == "dp" and not has_gpus(device):
        warnings.warn(
            'compile: data_parallel="dp" has no effect: there are no two GPUs to compute on.',
            stacklevel=users_level(),
        )


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
        # Reference cycles may still hold it. Its threads must end while Python can let them: one
        # that asks for Python's lock later aborts the process.
        gc.collect()


def is_shared(kind: str | None) -> bool:
    """Whether each process takes a part of the data."""
    return kind == "ddp" and num_processes() > 1


def shard_of(kind: str | None, *, training: bool) -> Shard | None:
    """This process's part of the data, `None` for all of it."""
    return Shard(process_number(), num_processes(), training) if is_shared(kind) else None


def common_seed(kind: str | None, seed: int) -> int:
    """The first process's seed."""
    return gather(seed)[0] if is_shared(kind) else seed


def start_alike(kind: str | None, model: nn.Module, seed: int) -> None:
    """Give all processes the first one's weights, and each random numbers of its own."""
    if not is_shared(kind):
        return
    for tensor in model.state_dict().values():
        if isinstance(tensor, Tensor):
            distributed.broadcast(tensor.detach(), 0)
    # With the seed that the script sets in each process, all would drop the same units.
    seed_process(seed, process_number())


def gather(part: Any) -> list[Any]:
    """What each process has, in their order; every process must call it."""
    if num_processes() == 1:
        return [part]
    parts: list[Any] = [None] * num_processes()
    distributed.all_gather_object(parts, part)
    return parts


def any_process(claim: bool) -> bool:
    """Whether a claim is true in any process; every process must call it."""
    return any(gather(bool(claim)))


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Give all processes the mean of their gradients."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(joined)
    joined /= num_processes()
    pieces = joined.split([gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


class _Forward(nn.Module):
    """A function of a batch as a module that holds a model, for torch's wrapper."""

    def __init__(self, model: nn.Module, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, x: Any) -> Any:
        """Call the function."""
        return self.function(x)


def averaging(model: nn.Module, function: Callable[[Any], Any]) -> nn.Module:
    """The function, such that backward passes through it average gradients as they come."""
    return nn.parallel.DistributedDataParallel(_Forward(model, function))
