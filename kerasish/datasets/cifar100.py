"""CIFAR-100: 60,000 colour photos of 32×32 pixels in 100 classes of 20 kinds."""

from __future__ import annotations

from kerasish.datasets.cifar import read_batches
from kerasish.datasets.files import Arrays, fetch
from kerasish.describe import describe


def load_data(label_mode: str = "fine") -> tuple[Arrays, Arrays]:
    """Load the photos; the archive of 169 MB is downloaded at the first call.

    Shapes:
        x_train, x_test: `(50000, 3, 32, 32)` and `(10000, 3, 32, 32)`, uint8 in [0, 255]; the
            channels come last if the setting for images says so
        y_train, y_test: `(50000, 1)` and `(10000, 1)`, int64 in [0, 99], or in [0, 19]

    Args:
        label_mode: `"fine"` for the 100 classes, `"coarse"` for the 20 kinds.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ValueError: If `label_mode` is neither.
        ConnectionError: If the file cannot be downloaded; the message says which to put where.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(
            f'cifar100.load_data: `label_mode` must be "fine" or "coarse", got '
            f"{describe(label_mode)}."
        )
    folder = fetch("cifar100") / "cifar-100-python"
    key = f"{label_mode}_labels".encode()
    return read_batches(folder, ["train"], key), read_batches(folder, ["test"], key)
