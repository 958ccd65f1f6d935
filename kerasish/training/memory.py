"""Memory that one step frees and the next takes again stays with the process."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = -1

_KEPT = 64 << 20  # bytes of freed memory that stay between runs
_CUT = 32 << 20  # blocks up to here are cut from kept memory; older glibcs allow no more
_CUT_IN_RUNS = 1 << 30
_LONG = 30.0  # seconds, beside which it is little to give memory back

_runs = 0


@functools.cache
def keep_freed_memory() -> Callable[[int, int], object] | None:
    """Have glibc keep up to 64 MiB of freed memory, rather than give it back at each step.

    A step frees its activations and the next one takes as much again. By default glibc returns
    large blocks to the system at once, and the system hands them out again page by page, each
    page with a fault and cleared: a tenth of the step of a 784-128-10 network.

    Returns:
        glibc's `mallopt`; `None` where another library gives memory, and where the user has set
        its options: those of `MALLOC_TRIM_THRESHOLD_` and its like, and `GLIBC_TUNABLES`.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return None
    try:
        set_option = ctypes.CDLL(None).mallopt
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018 (others have a mallopt of their own)
    except (AttributeError, OSError, TypeError):
        return None
    set_option(_MMAP_THRESHOLD, _CUT)
    set_option(_TRIM_THRESHOLD, _KEPT)
    return set_option


@contextmanager
def all_freed_memory_kept() -> Iterator[None]:
    """Around a run: what its steps free does not go back to the system.

    A step of ResNet-50 may free more than 64 MiB. Whether that lies at the end of the heap, where
    glibc gives back, is a matter of what was made before the model: the same training takes a
    quarter longer in one script than in another. A long run gives all of it back at its end.
    """
    global _runs
    set_option = keep_freed_memory()
    if set_option is None:
        yield
        return
    _runs += 1
    if _runs == 1:
        set_option(_TRIM_THRESHOLD, _NEVER)
        set_option(_MMAP_THRESHOLD, _CUT_IN_RUNS)
    began = perf_counter()
    try:
        yield
    finally:
        _runs -= 1
        if not _runs:
            set_option(_TRIM_THRESHOLD, _KEPT)
            set_option(_MMAP_THRESHOLD, _CUT)
            if perf_counter() - began > _LONG:
                ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(_KEPT))
