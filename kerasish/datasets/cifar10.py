"""CIFAR-10: 60,000 colour photos of 32×32 pixels in ten classes."""

from __future__ import annotations

import numpy as np

from kerasish.datasets.cifar import read_batches
from kerasish.datasets.files import Arrays, fetch


def load_data() -> tuple[Arrays, Arrays]:
    """Load the photos; the archive of 170 MB is downloaded at the first call.

    The classes are airplane, automobile, bird, cat, deer, dog, frog, horse, ship and truck, in
    this order.

    Shapes:
        x_train, x_test: `(50000, 3, 32, 32)` and `(10000, 3, 32, 32)`, uint8 in [0, 255]; the
            channels come last if the setting for images says so
        y_train, y_test: `(50000, 1)` and `(10000, 1)`, uint8 in [0, 9]

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ConnectionError: If the file cannot be downloaded; the message says which to put where.
    """
    folder = fetch("cifar10") / "cifar-10-batches-py"
    train = read_batches(folder, [f"data_batch_{number}" for number in range(1, 6)], b"labels")
    test = read_batches(folder, ["test_batch"], b"labels")
    return (train[0], train[1].astype(np.uint8)), (test[0], test[1].astype(np.uint8))
