"""The one error of `eject`: which part cannot be written as plain PyTorch, and what to do."""

from __future__ import annotations


def refusal(part: str, instead: str) -> ValueError:
    """The error to raise; nothing has been written then.

    Args:
        part: What cannot be written, as the beginning of a sentence.
        instead: What to do, as a sentence.
    """
    return ValueError(f"eject: {part} cannot be written as a few lines of plain PyTorch. {instead}")
