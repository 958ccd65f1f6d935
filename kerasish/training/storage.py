"""Room for large tensors: in memory, or in a file without a name where memory is short."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# The shares of free memory and of the free disk that may be taken.
MEMORY_SHARE, DISK_SHARE = 0.25, 0.5


def make_room(shapes: Sequence[tuple[int, ...]], dtypes: Sequence[torch.dtype]) -> list[Tensor]:
    """Empty tensors, all of them in memory or all in one file that is gone when they are.

    Raises:
        OSError: If neither memory nor disk has room.
    """
    sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in zip(shapes, dtypes, strict=True)]
    if sum(sizes) <= free_memory() * MEMORY_SHARE:
        return [torch.empty(s, dtype=dtype) for s, dtype in zip(shapes, dtypes, strict=True)]
    aligned = [math.ceil(size / 64) * 64 for size in sizes]
    whole = _on_disk(sum(aligned))
    tensors, start = [], 0
    for shape, dtype, size, step in zip(shapes, dtypes, sizes, aligned, strict=True):
        tensors.append(whole[start : start + size].view(dtype).view(shape))
        start += step
    return tensors


def _on_disk(size: int) -> Tensor:
    """Bytes in a temporary file that no folder lists: however the process ends, it is gone."""
    if size > shutil.disk_usage(tempfile.gettempdir()).free * DISK_SHARE:
        raise OSError(f"neither memory nor {tempfile.gettempdir()} has room for {told(size)}")
    with tempfile.TemporaryFile(prefix="kerasish-") as file:
        if hasattr(os, "posix_fallocate"):
            # Taken now: to write to a map of a file that the disk cannot hold kills the process.
            os.posix_fallocate(file.fileno(), 0, size)
        file.truncate(size)
        return torch.from_numpy(np.memmap(file, dtype=np.uint8, mode="r+", shape=(size,)))


def free_memory() -> int:
    """The bytes of memory that can be taken without swapping, as far as the system says."""
    limits = [_available(), _left_in_group()]
    return min((limit for limit in limits if limit is not None), default=1 << 30)


def _available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" not in names:
        return None
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_in_group() -> int | None:
    """What a container's limit leaves."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = (group / "memory.current").read_text(encoding="ascii")
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None


def told(size: int) -> str:
    """A number of bytes in words: `58 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} bytes"
