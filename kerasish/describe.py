"""How error messages speak of values: types and shapes instead of contents, and "did you mean"."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

_PACKAGE = str(Path(__file__).parent) + os.sep


def describe(value: Any) -> str:
    """Say in a few words what a value is; arrays by type and shape, never by contents.

    Example:
        >>> describe("64"), describe(np.zeros((2, 3)))
        ("'64' (str)", 'float64 array of shape (2, 3)')
    """
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(describe(item) for item in value[:3]) + (", …" if len(value) > 3 else "")
        return f"{type(value).__name__} of {len(value)} ({inner})"
    if isinstance(value, dict):
        return f"dict with keys {list(value)[:6]}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({type(value).__name__})"


def suggest(name: Any, known: Iterable[str], *, limit: int = 40) -> str:
    """The tail of an "unknown name" message: the nearest known name, then all of them.

    Example:
        >>> suggest("relu6x", ["relu", "relu6"])
        "; did you mean 'relu6'? Names: relu, relu6"
    """
    known = list(known)
    folded = {candidate.lower(): candidate for candidate in reversed(known)}
    near = difflib.get_close_matches(str(name).lower(), list(folded), n=1, cutoff=0.5)
    hint = f"; did you mean '{folded[near[0]]}'?" if near else "."
    listed = ", ".join(known[:limit]) + (", …" if len(known) > limit else "")
    return f"{hint} Names: {listed}"


def count_of(number: int, noun: str) -> str:
    """A number with its noun in the right form: `1 row`, `2 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def users_level() -> int:
    """How many frames lie between the caller, who warns, and the code that called kerasish."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
