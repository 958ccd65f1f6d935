"""Where progress appears: a terminal, a plain stream (file, pipe), or a notebook cell."""

# Methods are described in PlainScreen.
# ruff: noqa: D102

from __future__ import annotations

import html
import math
import os
import shutil
import sys
from time import perf_counter
from typing import Any

from kerasish.callbacks.progress_line import Status, live_line

KEPT_LINES = 50


class PlainScreen:
    """Finished lines only, no control codes: for files, pipes and `verbose=2`."""

    interval = 0.1
    width = math.inf
    live = False

    def draw(self, status: Status) -> None:
        """Show a live line; a plain stream has none."""

    def clear(self) -> None:
        """Wipe the live line."""

    def leave(self) -> None:
        """Keep the live line as it is and go on below it."""

    def print(self, lines: list[str]) -> None:
        """Write finished lines in the place of the live one."""
        self.clear()
        if lines:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()


class TerminalScreen(PlainScreen):
    """One line that is written over, at most ten times a second."""

    live = True

    def __init__(self) -> None:
        self._dirty = False
        self.color = not os.environ.get("NO_COLOR")
        if os.name == "nt":
            os.system("")  # switches the console's understanding of escape codes on

    @property
    def width(self) -> int:  # type: ignore[override]
        """Columns to use: one less than there are, since writing into the last may wrap."""
        return max(20, shutil.get_terminal_size().columns - 1)

    def draw(self, status: Status) -> None:
        ascii_only = not _can_encode("━╸")
        line = live_line(
            status, self.width, color=self.color and not ascii_only, ascii_only=ascii_only
        )
        if ascii_only:
            line = line.replace("…", "...")
        sys.stdout.write(f"\r{line}\x1b[K")
        sys.stdout.flush()
        self._dirty = True

    def clear(self) -> None:
        if self._dirty:
            sys.stdout.write("\r\x1b[K")
            self._dirty = False

    def leave(self) -> None:
        if self._dirty:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._dirty = False


class NotebookScreen(PlainScreen):
    """One output that is updated: the last finished lines and, while running, a live one."""

    interval = 0.25
    live = True

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._dropped = 0
        self._handle: Any = None
        self._live = ""
        self._shown = -math.inf
        self._stale = False

    def draw(self, status: Status) -> None:
        words = html.escape(live_line(status, 100, bar_wanted=False))
        if status.total:
            done = min(status.done, status.total)
            words = f'<progress value="{done}" max="{status.total}"></progress> {words}'
        self._show(live_line(status, 100), words)

    def clear(self) -> None:
        self._live = ""

    def leave(self) -> None:
        if self._live:
            self._lines.append(self._live)
            self.clear()
            self._stale = True
        if self._stale:
            self._show()

    def print(self, lines: list[str]) -> None:
        self.clear()
        self._lines += lines
        extra = max(0, len(self._lines) - KEPT_LINES)
        self._dropped += extra
        del self._lines[:extra]
        # Short epochs follow each other faster than a page can draw; leave() shows the last ones.
        self._stale = True
        if perf_counter() - self._shown >= self.interval:
            self._show()

    def _show(self, live: str = "", live_html: str = "") -> None:
        from IPython.display import display  # type: ignore[import-not-found]

        self._live, self._shown, self._stale = live, perf_counter(), False
        lines = [f"({self._dropped} earlier lines)"] if self._dropped else []
        lines += self._lines
        body = [html.escape(line) for line in lines] + ([live_html] if live else [])
        bundle = {
            "text/plain": "\n".join([*lines, *([live] if live else [])]),
            "text/html": f'<pre style="margin:0">{"<br>".join(body)}</pre>',
        }
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def screen_for(verbose: int | str) -> PlainScreen:
    """The screen that suits where output goes now."""
    if verbose == 2:
        return PlainScreen()
    if in_notebook():
        return NotebookScreen()
    terminal = getattr(sys.stdout, "isatty", lambda: False)() and os.environ.get("TERM") != "dumb"
    return TerminalScreen() if terminal else PlainScreen()


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


def _can_encode(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
