"""The words of a progress bar: one line that fits a width, and the line of a finished epoch."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Values = Sequence[tuple[str, float]]

WIDEST_BAR, NARROWEST_BAR = 30, 5
FILLED, REST, RESET = "\x1b[36m", "\x1b[90m", "\x1b[0m"


@dataclass
class Status:
    """What a live line tells.

    Args:
        title: Such as `Epoch 3/10`.
        done: Batches so far.
        total: Batches in all, `None` if unknown.
        elapsed: Seconds since the first batch began.
        left: Seconds to go, `None` if unknown.
        values: Names and numbers, in order.
        counted: What stands for `done/total` where steps are not what is counted.
        widest: Columns that the bar takes at most.
    """

    title: str
    done: int
    total: int | None
    elapsed: float
    left: float | None
    values: Values
    counted: str | None = None
    widest: int = WIDEST_BAR


def live_line(
    status: Status,
    width: int,
    *,
    color: bool = False,
    ascii_only: bool = False,
    bar_wanted: bool = True,
) -> str:
    """One line of at most `width` columns: the bar gives way first, then the last metrics."""
    counted = _counted(status)
    texts = [f"{name} {number(value)}" for name, value in status.values]
    fixed = cells(status.title) + 2 + cells(counted)
    kept = _that_fit(texts, width - fixed)
    room = width - fixed - sum(2 + cells(text) for text in kept) - 1
    line = f"{status.title}  "
    if bar_wanted and status.total and len(kept) == len(texts) and room >= NARROWEST_BAR:
        # In steps of five, so that the bar does not twitch with each digit.
        line = (
            status.title
            + " "
            + bar(status.done / status.total, min(status.widest, room // 5 * 5), color, ascii_only)
        )
        line += "  "
    line = (line + "  ".join([counted, *kept])).lstrip()
    return line if cells(line) <= width or color else _cut(line, width)


def _counted(status: Status) -> str:
    if status.total is None:
        steps = f"{status.done} {'step' if status.done == 1 else 'steps'}"
        return f"{status.counted or steps}  {clock(status.elapsed)}"
    time = clock(status.elapsed) if status.left is None else f"ETA {clock(status.left)}"
    steps = f"{status.done:>{len(str(status.total))}}/{status.total}"
    return f"{status.counted or steps}  {time}"


def bar(fraction: float, width: int, color: bool = False, ascii_only: bool = False) -> str:
    """A bar of `width` columns, filled to half columns.

    Example:
        >>> bar(0.5, 5), bar(0.5, 6, ascii_only=True)
        ('━━╸──', '===>..')
    """
    halves = round(max(0.0, min(1.0, fraction)) * width * 2)
    full, half = divmod(halves, 2)
    if ascii_only:
        filled, rest = "=" * full, ">" + "." * (width - full - 1) if full < width else ""
    else:
        filled = "━" * full + ("╸" if half else "")
        rest = ("━" if color else "─") * (width - full - half)
    return f"{FILLED}{filled}{REST}{rest}{RESET}" if color else filled + rest


def finished_lines(
    head: str, values: Values, width: float = math.inf, style: int = 0
) -> tuple[list[str], int]:
    """The lines of a finished epoch with all its numbers.

    Args:
        head: Title, duration and time per step.
        values: Names and numbers; a `val_` name may be put beside its training twin.
        width: Columns there are.
        style: The style of earlier lines, which later ones keep or pass: 0 names everything, 1
            writes `loss 0.5000 val 0.6000`, 2 with fewer digits, 3 with four on several lines.

    Returns:
        The lines, and the style they are in.
    """
    named = [f"{name} {number(value)}" for name, value in values]
    for candidate, texts in enumerate((named, _paired(values, number), _paired(values, short))):
        line = "  ".join([head, *texts])
        if style <= candidate and cells(line) <= width:
            return [line], candidate
    lines = [head]
    for text in _paired(values, number):
        if cells(lines[-1]) + 2 + cells(text) <= width:
            lines[-1] += "  " + text
        else:
            lines.append("    " + text)
    return lines, 3


def _paired(values: Values, written: Callable[[object], str]) -> list[str]:
    numbers = dict(values)
    texts = []
    for name, value in values:
        if name.startswith("val_") and name[4:] in numbers:
            continue
        twin = f" val {written(numbers['val_' + name])}" if f"val_{name}" in numbers else ""
        texts.append(f"{name} {written(value)}{twin}")
    return texts


def _that_fit(texts: list[str], room: int) -> list[str]:
    """As many texts as fit, with an ellipsis for the rest."""
    if sum(2 + cells(text) for text in texts) <= room:
        return texts
    kept: list[str] = []
    room -= 3
    for text in texts:
        room -= 2 + cells(text)
        if room < 0:
            break
        kept.append(text)
    return [*kept, "…"] if room >= 0 or kept else []


def cells(text: str) -> int:
    """Columns that a text takes in a terminal (without colour codes)."""
    if text.isascii():
        return len(text)
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def _cut(line: str, width: int) -> str:
    while cells(line) > width:
        line = line[:-1]
    return line


def number(value: object) -> str:
    """A number in few letters: four decimals where they tell something, and counts in full.

    Example:
        >>> number(0.43214), number(3.2e-5), number(123456.0), number(1.23e9), number(0)
        ('0.4321', '3.20e-05', '123456', '1.23e+09', '0.0000')
    """
    if not isinstance(value, (int, float)):
        try:
            value = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return str(value)
    size = abs(value)
    if isinstance(value, int) and 1 <= size < 1e7:
        return str(int(value))
    if size == 0 or 1e-3 <= size < 1e3:
        return f"{value:.4f}"
    if 1e4 <= size < 1e7:
        return f"{value:.0f}"
    return f"{value:.2e}" if size < 1 else f"{value:.4g}"


def short(value: object) -> str:
    """A number in fewer letters still: three decimals where they tell enough."""
    if isinstance(value, float) and 0.1 <= abs(value) < 1e3:
        return f"{value:.3f}"
    return number(value)


def clock(seconds: float) -> str:
    """Seconds as `0:07`, `12:05` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """A duration in at most five letters or so: `0.27ms`, `31ms`, `1.2s`, `12s`, `2:05`."""
    if seconds < 0.0995:
        milli = seconds * 1e3
        return (
            f"{milli:.2f}ms"
            if milli < 0.995
            else f"{milli:.1f}ms"
            if milli < 9.95
            else f"{milli:.0f}ms"
        )
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f}ms"
    if seconds < 99.5:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    return clock(seconds)
