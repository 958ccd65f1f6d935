"""Boston housing: prices of houses in 506 districts, from the census of 1970."""

from __future__ import annotations

import os

from kerasish.datasets.files import Arrays
from kerasish.datasets.housing import load_split


def load_data(
    path: str | os.PathLike = "boston_housing.npz", test_split: float = 0.2, seed: int = 113
) -> tuple[Arrays, Arrays]:
    """Load the districts; the file is downloaded at the first call.

    One of the columns, "B", was computed from the share of Black residents on the assumption that
    it sets prices. Take `california_housing` unless that is what you study.

    Shapes:
        x_train, x_test: `(samples, 13)`, floats
        y_train, y_test: `(samples,)`, floats: median prices in thousands of dollars

    Args:
        path: The name to keep the file under, or the path of a copy.
        test_split: The share of rows for testing, in [0, 1).
        seed: Seed of the shuffle before the split.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ValueError: If `test_split` is not in [0, 1).
        ConnectionError: If the file cannot be downloaded; the message says which to put where.
    """
    return load_split("boston_housing", path, test_split, seed)
