"""California housing: prices of houses in 20,640 districts, from the census of 1990."""

from __future__ import annotations

import os

from kerasish.datasets.files import Arrays
from kerasish.datasets.housing import load_split
from kerasish.describe import describe


def load_data(
    version: str = "large",
    path: str | os.PathLike = "california_housing.npz",
    test_split: float = 0.2,
    seed: int = 113,
) -> tuple[Arrays, Arrays]:
    """Load the districts; the file is downloaded at the first call.

    The columns tell where a district lies, and of its houses, people and incomes.

    Shapes:
        x_train, x_test: `(samples, 8)`, floats
        y_train, y_test: `(samples,)`, floats: median prices in dollars

    Args:
        version: `"large"` for all districts, `"small"` for the first 600.
        path: The name to keep the file under, or the path of a copy.
        test_split: The share of rows for testing, in [0, 1).
        seed: Seed of the shuffle before the split.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ValueError: If `version` or `test_split` is none of these.
        ConnectionError: If the file cannot be downloaded; the message says which to put where.
    """
    if version not in ("small", "large"):
        raise ValueError(
            f'california_housing.load_data: `version` must be "small" or "large", got '
            f"{describe(version)}."
        )
    rows = 600 if version == "small" else None
    return load_split("california_housing", path, test_split, seed, rows)
