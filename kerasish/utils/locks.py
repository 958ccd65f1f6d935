"""Files that one process holds while others wait."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

HAS_LOCKS = fcntl is not None


def wait_for(held: IO[bytes], what: str, verbose: int | str) -> None:
    """Lock an open file until it is closed, after any other process that has locked it.

    Args:
        held: The file.
        what: What the other process does, such as `downloads a.zip`.
        verbose: Whether to say so.
    """
    if fcntl is None:  # Windows
        return
    with contextlib.suppress(OSError):  # some network disks have no locks
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if verbose:
                sys.stdout.write(f"Waiting for another process that {what}\n")
                sys.stdout.flush()
            fcntl.flock(held, fcntl.LOCK_EX)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path now; `None` if there is none."""
    try:
        return inode(path.stat())
    except FileNotFoundError:
        return None


def inode(found: os.stat_result) -> tuple[int, int]:
    """Which file a `stat` is of, whatever its name."""
    return found.st_dev, found.st_ino
