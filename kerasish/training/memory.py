"""Memory that one step frees and the next takes again stays with the process."""

from __future__ import annotations

import functools

import torch

_LARGEST = (32 << 20) - (64 << 10)  # bytes: glibc learns from no block larger than 32 MiB


@functools.cache
def keep_freed_memory() -> None:
    """Have glibc keep up to 64 MiB of freed memory, rather than give it back at each step.

    A step frees its activations and the next one takes as much again. By default glibc returns
    large blocks to the system at once, and the system hands them out again page by page, each
    page with a fault and cleared: a tenth of the step of a 784-128-10 network. glibc raises its
    limits to the largest block that it saw freed, at most 32 MiB; so one is taken, untouched, and
    freed. It costs no memory by itself, and only once. Where the user set
    `MALLOC_TRIM_THRESHOLD_` or `MALLOC_MMAP_THRESHOLD_`, glibc follows those instead; other
    allocators see nothing of it.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
