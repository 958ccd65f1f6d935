"""What IMDB and Reuters share: texts as lists of word numbers, shifted and limited to some."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain

import numpy as np

from kerasish.datasets.files import fetch

Texts = Sequence[Sequence[int]] | np.ndarray


def marked(texts: Texts, start_char: int | None, index_from: int | None) -> list[np.ndarray]:
    """Each text with its numbers raised by `index_from`, behind a first number `start_char`.

    Args:
        texts: Lists of numbers from 1 on.
        start_char: The first number of every text; `None` for none.
        index_from: How much to add to all others.
    """
    lengths = [len(text) for text in texts]
    numbers = np.fromiter(chain.from_iterable(texts), np.int64, sum(lengths)) + (index_from or 0)
    parts = np.split(numbers, np.cumsum(lengths)[:-1]) if lengths else []
    if start_char is None:
        return parts
    return [np.concatenate([[start_char], part]) for part in parts]


def shorter_than(
    maxlen: int | None, texts: list[np.ndarray], labels: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """The texts of fewer than `maxlen` numbers, and their labels; all if it is `None` or 0."""
    if not maxlen:
        return texts, labels
    kept = np.array([len(text) < maxlen for text in texts], bool)
    return [text for text, keep in zip(texts, kept, strict=True) if keep], labels[kept]


def limited(
    texts: list[np.ndarray], num_words: int | None, skip_top: int, oov_char: int | None
) -> np.ndarray:
    """Texts with the numbers from `skip_top` up to, not including, `num_words`.

    Args:
        texts: Arrays of numbers.
        num_words: The limit; the greatest number that occurs by default, as in Keras, so that
            this one word is left out.
        skip_top: The first number that is kept.
        oov_char: What stands for the others; `None` drops them.

    Returns:
        An array of lists.
    """
    limit = num_words or max((int(text.max()) for text in texts if len(text)), default=0)
    found = np.empty(len(texts), object)
    for row, text in enumerate(texts):
        kept = (text >= skip_top) & (text < limit)
        found[row] = (text[kept] if oov_char is None else np.where(kept, text, oov_char)).tolist()
    return found


def word_index(name: str, path: str) -> dict[str, int]:
    """The numbers of words, from 1 for the most frequent."""
    return json.loads(fetch(name, path).read_text(encoding="utf-8"))
