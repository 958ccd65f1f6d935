"""Long lines of source, broken where their outermost call ends."""

from __future__ import annotations

from collections.abc import Iterator

WIDTH = 100


def wrapped(source: str) -> str:
    """The source with one argument of a call per line where a line is longer than `WIDTH`.

    Args:
        source: Lines that are statements.
    """
    return "\n".join(part for line in source.split("\n") for part in _wrapped(line))


def _wrapped(line: str) -> list[str]:
    start, end = _last_call(line)
    if len(line) <= WIDTH or end < 0 or start + 1 == end:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    inner = f"{indent}    "
    arguments = [f"{inner}{argument}," for argument in _split(line[start + 1 : end])]
    parts = [part for argument in arguments for part in _wrapped(argument)]
    return [line[: start + 1], *parts, indent + line[end:]]


def _last_call(line: str) -> tuple[int, int]:
    """Where the brackets of the call open and close that closes last; -1 where there is none."""
    end = line.rfind(")")
    open_at: list[int] = []
    for place, character in _outside_strings(line):
        if character in "([{":
            open_at.append(place)
        elif character in ")]}" and open_at:
            start = open_at.pop()
            if place == end:
                return start, end
    return -1, -1


def _split(arguments: str) -> list[str]:
    """The arguments between a call's brackets."""
    found, depth, start = [], 0, 0
    for place, character in _outside_strings(arguments):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            found.append(arguments[start:place].strip())
            start = place + 1
    return [*found, arguments[start:].strip()]


def _outside_strings(text: str) -> Iterator[tuple[int, str]]:
    """Each character that is not part of a string in double quotes, with its place."""
    is_inside = is_escaped = False
    for place, character in enumerate(text):
        if character == '"' and not is_escaped:
            is_inside = not is_inside
        elif not is_inside:
            yield place, character
        is_escaped = character == "\\" and not is_escaped
