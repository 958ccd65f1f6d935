"""What `predict` gathers: the outputs of all batches, joined along the batch axis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.data.arrays import leaves, map_leaves

_WAITING_BYTES = 64 << 20


class Outputs:
    """The outputs of batches, on the CPU but for the latest.

    A copy from an accelerator waits for all that it has been given to compute, so batches are
    copied together, in pieces of 64 MiB.
    """

    def __init__(self) -> None:
        self.count = 0
        self._pieces: list[Any] = []  # on the CPU
        self._waiting: list[Any] = []
        self._bytes = 0

    def add(self, y_pred: Any) -> None:
        """Take the outputs of the next batch."""
        self.count += 1
        if type(y_pred) is Tensor and y_pred.device.type == "cpu":
            self._pieces.append(y_pred)
            return
        waiting = sum(t.nbytes for t in leaves(y_pred) if t.device.type != "cpu")
        if not waiting and not self._waiting:
            self._pieces.append(y_pred)
            return
        self._waiting.append(y_pred)
        self._bytes += waiting
        if self._bytes >= _WAITING_BYTES:
            self._move()

    def joined(self) -> Any:
        """All of them.

        Raises:
            ValueError: If there is none, or their other axes differ.
        """
        if self._waiting:
            self._move()
        return join(self._pieces)

    def _move(self) -> None:
        self._pieces.append(on_cpu(join(self._waiting)))
        self._waiting, self._bytes = [], 0


def on_cpu(value: Any) -> Any:
    """A structure of tensors on the CPU."""
    return map_leaves(lambda tensor: tensor.cpu(), value)


def join(collected: list[Any]) -> Any:
    """Join batches of outputs along the batch axis, keeping their structure.

    Raises:
        ValueError: If there is none, or their other axes differ.
    """
    if not collected:
        raise ValueError("There were no batches to predict on.")
    if isinstance(collected[0], Tensor):
        return _joined(collected)
    columns = zip(*(leaves(item) for item in collected), strict=True)
    joined = iter([_joined(column) for column in columns])
    return map_leaves(lambda _: next(joined), collected[0])


def _joined(batches: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    try:
        return torch.cat(batches)
    except RuntimeError as error:
        shapes = list(dict.fromkeys(tuple(batch.shape) for batch in batches))
        raise ValueError(
            f"predict: the outputs of batches have different shapes, such as {shapes[:3]}, and "
            "cannot be joined to one array. Pad the inputs to one length, or call "
            "predict_on_batch for each batch."
        ) from error
