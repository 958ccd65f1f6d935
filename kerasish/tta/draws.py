"""Views that an augmentation pipeline draws at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.augmentation.draws import sample_context
from kerasish.layers.augmentation.foreign import as_augmentation
from kerasish.tta.views import Views


class Draws(Views):
    """What an augmentation would show in some epochs of training.

    What is drawn for a sample depends on the pipeline's seed and the sample's number in the data
    alone, whatever the batch size, the order of a `DataLoader` or the number of processes.

    Args:
        pipeline: An augmentation layer, a pipeline of them, or a torchvision transform.
        n: How many views to draw of each sample.
        first_epoch: The epoch of the first view.
        **kwargs: Those of `Views`.

    Raises:
        TypeError: If the pipeline cannot be called.
        ValueError: If `n` is not positive.
    """

    def __init__(self, pipeline: Any, n: int = 10, *, first_epoch: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = as_augmentation(pipeline)
        self.n = check_number(n, "Draws")
        self.first_epoch = first_epoch

    def views(self, x: Any, rows: Tensor) -> Iterator[Any]:
        """The draws, one after the other."""
        for epoch in range(self.first_epoch, self.first_epoch + self.n):
            with sample_context(rows, epoch):
                drawn = self.pipeline(x, training=True)
            yield drawn


def check_number(n: Any, owner: str) -> int:
    """Refuse what is not a number of views.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"{owner}: `n` must be a positive number of views, got {describe(n)}.")
    return n
