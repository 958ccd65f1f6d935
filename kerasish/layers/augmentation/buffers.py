"""Memory for batches that is used again as soon as nobody holds the batch any more."""

from __future__ import annotations

import math
import weakref

import numpy as np
import torch
from torch import Tensor

# How many batches' memory waits for its next use: that of one being read, and of one being made.
_KEPT = 3


class Buffers:
    """Tensors whose memory comes back when they and all views of them are gone.

    Fresh memory costs a page fault every 4 kB, which is more than filling it.

    Example:
        >>> buffers = Buffers()
        >>> batch = buffers.take((2, 3), torch.float32)
        >>> place = batch.data_ptr()
        >>> del batch
        >>> buffers.take((2, 3), torch.float32).data_ptr() == place
        True
    """

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []
        self._lent: dict[int, weakref.ref] = {}

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor of any content."""
        nbytes = math.prod(shape) * dtype.itemsize
        block = next((b for b in self._free if b.nbytes == nbytes), None)
        if block is None:
            block = np.empty(nbytes, dtype=np.uint8)
        else:
            self._free = [b for b in self._free if b is not block]
        # Torch holds on to the view, not to the block, for as long as a tensor needs the memory.
        view = block.view()
        self._lent[id(block)] = weakref.ref(view, lambda _: self._give_back(block))
        return torch.from_numpy(view).view(dtype).view(shape)

    def _give_back(self, block: np.ndarray) -> None:
        self._lent.pop(id(block), None)
        self._free = [*self._free[-_KEPT + 1 :], block]

    def __reduce__(self) -> tuple:
        return Buffers, ()
