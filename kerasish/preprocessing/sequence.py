"""Sequences of unequal lengths."""

from kerasish.utils import pad_sequences

__all__ = ["pad_sequences"]
