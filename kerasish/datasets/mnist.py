"""MNIST: 70,000 handwritten digits of 28×28 pixels."""

from __future__ import annotations

import os

from kerasish.datasets.files import Arrays, fetch, read_npz


def load_data(path: str | os.PathLike = "mnist.npz") -> tuple[Arrays, Arrays]:
    """Load the digits; the file of 11 MB is downloaded at the first call.

    Shapes:
        x_train, x_test: `(60000, 28, 28)` and `(10000, 28, 28)`, uint8 from 0 (paper) to 255 (ink)
        y_train, y_test: `(60000,)` and `(10000,)`, uint8 in [0, 9]

    Args:
        path: The name to keep the file under, or the path of a copy.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ConnectionError: If the file cannot be downloaded; the message says which to put where.
    """
    found = read_npz(fetch("mnist", path))
    return (found["x_train"], found["y_train"]), (found["x_test"], found["y_test"])
