"""How callbacks speak: lines that never run into a live progress line."""

from __future__ import annotations

import sys
import weakref

from kerasish.callbacks.base import is_main_process


class Held(list[str]):
    """What was said while a bar was running; the bar prints it in its own time."""


# The running bars' lists, the innermost last. Weak: a bar that was dropped in the middle of a run
# must not keep later messages to itself.
_waiting: list[weakref.ref[Held]] = []


def say(text: str) -> None:
    """Print a line, at once or, while a progress bar is running, as soon as its line allows.

    With several processes only the first one speaks.
    """
    if not is_main_process():
        return
    alive = [held for reference in _waiting if (held := reference()) is not None]
    if alive:
        alive[-1].append(text)
    else:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def hold() -> Held:
    """Begin to collect what is said; the caller prints it."""
    held = Held()
    _waiting.append(weakref.ref(held))
    return held


def release(held: Held) -> None:
    """Stop collecting, and forget collectors that are gone."""
    _waiting[:] = [known for known in _waiting if known() is not None and known() is not held]
