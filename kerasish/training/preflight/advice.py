"""Advice: warnings with a code, each at most once for a fit, shown at the user's own line."""

from __future__ import annotations

import warnings

from kerasish.describe import users_level


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
            warnings.warn(f"{code}: {message}", AdviceWarning, stacklevel=users_level())
