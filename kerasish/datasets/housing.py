"""What the two sets of house prices share: one table, shuffled and split."""

from __future__ import annotations

import os

import numpy as np

from kerasish.datasets.files import Arrays, check_test_split, fetch, read_npz, shuffled


def load_split(
    name: str, path: str | os.PathLike, test_split: float, seed: int, rows: int | None = None
) -> tuple[Arrays, Arrays]:
    """Shuffle the first `rows` rows of a table, and split off the last share for testing."""
    check_test_split(name, test_split)
    found = read_npz(fetch(name, path))
    x, y = shuffled(found["x"][:rows], found["y"][:rows], np.random.RandomState(seed))
    split = int(len(x) * (1 - test_split))
    return (x[:split], y[:split]), (x[split:], y[split:])
