"""Reuters: 11,228 newswires as word numbers, in 46 topics."""

from __future__ import annotations

import os

import numpy as np

from kerasish.datasets.files import Arrays, check_test_split, fetch, read_npz, shuffled
from kerasish.datasets.word_numbers import limited, marked, shorter_than, word_index

TOPICS = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves "
    "ship cotton carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin "
    "strategic-metal livestock retail ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem "
    "dlr gas silver wpi hog lead"
)


def load_data(
    path: str | os.PathLike = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> tuple[Arrays, Arrays]:
    """Load the newswires; the file of 2 MB is downloaded at the first call.

    Words are numbered by frequency: the number of the most frequent is 1, plus `index_from`.

    Shapes:
        x_train, x_test: `(samples,)`, an array of lists of integers
        y_train, y_test: `(samples,)`, int64 in [0, 45]

    Args:
        path: The name to keep the file under, or the path of a copy.
        num_words: Numbers from here on are too rare; `None` keeps all but the very last.
        skip_top: Numbers below are too frequent.
        maxlen: Texts of this length or longer are left out.
        test_split: The share of texts for testing, in [0, 1).
        seed: Seed of the shuffle.
        start_char: The number that every text begins with; `None` for none.
        oov_char: What stands for words that are too rare or too frequent; `None` drops them.
        index_from: What is added to the numbers of words, to make room for padding (0),
            `start_char` and `oov_char`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ValueError: If `test_split` is not in [0, 1), or no text is shorter than `maxlen`.
        ConnectionError: If the file cannot be downloaded; the message says which to put where.
    """
    check_test_split("reuters", test_split)
    found = read_npz(fetch("reuters", path))
    texts, y = shuffled(found["x"], found["y"], np.random.RandomState(seed))
    texts, y = shorter_than(maxlen, marked(texts, start_char, index_from), y)
    if not texts:
        raise ValueError(f"reuters.load_data: no text is shorter than maxlen={maxlen}; raise it.")
    x = limited(texts, num_words, skip_top, oov_char)
    split = int(len(x) * (1 - test_split))
    return (x[:split], y[:split]), (x[split:], y[split:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """The number of each word, before `index_from` is added.

    Args:
        path: The name to keep the file under, or the path of a copy.
    """
    return word_index("reuters/words", path)


def get_label_names() -> tuple[str, ...]:
    """The topics in the order of their numbers.

    Example:
        >>> get_label_names()[3], len(get_label_names())
        ('earn', 46)
    """
    return tuple(TOPICS.split())
