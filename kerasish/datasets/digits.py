"""The 1,797 handwritten digits of 8×8 pixels that ship with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerasish.datasets.files import Arrays, check_test_split

ARCHIVE = Path(__file__).with_name("digits.npz")


def load_data(test_split: float = 0.2, seed: int = 113) -> tuple[Arrays, Arrays]:
    """Load the handwritten digits of the UCI optical-recognition set; needs no network.

    Pixels count ink, from 0 (paper) to 16 (full ink), so `x / 16` lies in [0, 1]. Every class is
    split in the same proportion, and the same arguments give the same rows in the same order.

    Shapes:
        x_train, x_test: `(samples, 8, 8)`, uint8 in [0, 16]
        y_train, y_test: `(samples,)`, int64 in [0, 9]

    Args:
        test_split: Fraction of each class that is held out, in [0, 1).
        seed: Seed of the shuffle.

    Returns:
        `(x_train, y_train), (x_test, y_test)`; 1,438 and 359 rows by default.

    Raises:
        ValueError: If `test_split` is not in [0, 1).

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()
        >>> x_train.shape, x_train.dtype, y_test.shape
        ((1438, 8, 8), dtype('uint8'), (359,))
    """
    check_test_split("digits", test_split)
    with np.load(ARCHIVE, allow_pickle=False) as archive:
        x, y = archive["x"], archive["y"].astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(y))
    is_test = np.zeros(len(y), dtype=bool)
    for digit in range(10):
        rows = order[y[order] == digit]
        is_test[rows[: round(len(rows) * test_split)]] = True
    train, test = order[~is_test[order]], order[is_test[order]]
    return (x[train], y[train]), (x[test], y[test])
