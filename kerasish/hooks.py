"""Hooks of torch modules that stay for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch.utils.hooks import RemovableHandle


@contextmanager
def removed_after(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Hooks are there while it lasts."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
