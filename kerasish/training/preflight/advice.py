"""Advice: warnings with a code, each at most once for a fit, shown at the user's own line."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[2]) + os.sep


class AdviceWarning(UserWarning):
    """Advice about a setup that would train poorly; each message begins with its code.

    Switch one off with `warnings.filterwarnings("ignore", message="K102")`.
    """


class Report:
    """Advice found on the way, one message for each code, given together at the end."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def advise(self, code: str, message: str) -> None:
        """Note advice; the first message of a code stays."""
        self._found.setdefault(code, message)

    def give(self) -> None:
        """Warn of everything that was noted."""
        for code, message in self._found.items():
            warnings.warn(f"{code}: {message}", AdviceWarning, stacklevel=_users_level())


def _users_level() -> int:
    """How many frames lie between the caller and the code that called kerasish."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
