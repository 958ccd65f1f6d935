"""IMDB: 50,000 reviews of films as word numbers, half of them good and half bad."""

from __future__ import annotations

import os

import numpy as np

from kerasish.datasets.files import Arrays, fetch, read_npz, shuffled
from kerasish.datasets.word_numbers import limited, marked, shorter_than, word_index


def load_data(
    path: str | os.PathLike = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> tuple[Arrays, Arrays]:
    """Load the reviews; the file of 17 MB is downloaded at the first call.

    Words are numbered by frequency: the number of the most frequent is 1, plus `index_from`.

    Shapes:
        x_train, x_test: `(25000,)` each, an array of lists of integers
        y_train, y_test: `(25000,)` each, int64: 0 for bad, 1 for good

    Args:
        path: The name to keep the file under, or the path of a copy.
        num_words: Numbers from here on are too rare; `None` keeps all but the very last.
        skip_top: Numbers below are too frequent.
        maxlen: Texts of this length or longer are left out.
        seed: Seed of the shuffle.
        start_char: The number that every text begins with; `None` for none.
        oov_char: What stands for words that are too rare or too frequent; `None` drops them.
        index_from: What is added to the numbers of words, to make room for padding (0),
            `start_char` and `oov_char`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ValueError: If no text is shorter than `maxlen`.
        ConnectionError: If the file cannot be downloaded; the message says which to put where.
    """
    found, rng = read_npz(fetch("imdb", path)), np.random.RandomState(seed)
    texts, labels = [], []
    for part in ("train", "test"):
        x, y = shuffled(found[f"x_{part}"], found[f"y_{part}"], rng)
        x, y = shorter_than(maxlen, marked(x, start_char, index_from), y)
        if not x:
            raise ValueError(
                f"imdb.load_data: no {part} review is shorter than maxlen={maxlen}; raise it."
            )
        texts.append(x)
        labels.append(y)
    x = limited(texts[0] + texts[1], num_words, skip_top, oov_char)
    split = len(texts[0])
    return (x[:split], labels[0]), (x[split:], labels[1])


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """The number of each word, before `index_from` is added.

    Args:
        path: The name to keep the file under, or the path of a copy.
    """
    return word_index("imdb/words", path)
