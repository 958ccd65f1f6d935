"""Fashion-MNIST: 70,000 pictures of clothes of 28×28 pixels."""

from __future__ import annotations

import gzip

import numpy as np

from kerasish.datasets.files import Arrays, fetch


def load_data() -> tuple[Arrays, Arrays]:
    """Load the pictures; four files of 31 MB together are downloaded at the first call.

    The classes are T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag and
    ankle boot, in this order.

    Shapes:
        x_train, x_test: `(60000, 28, 28)` and `(10000, 28, 28)`, uint8 in [0, 255]
        y_train, y_test: `(60000,)` and `(10000,)`, uint8 in [0, 9]

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ConnectionError: If a file cannot be downloaded; the message says which to put where.
    """
    return _load("train"), _load("t10k")


def _load(part: str) -> Arrays:
    labels = _read(f"fashion_mnist/{part}-labels", header=8)
    return _read(f"fashion_mnist/{part}-images", header=16).reshape(-1, 28, 28), labels


def _read(name: str, header: int) -> np.ndarray:
    content = gzip.decompress(fetch(name).read_bytes())
    return np.frombuffer(content, np.uint8, offset=header).copy()
