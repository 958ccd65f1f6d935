"""How batches get to a device: through pinned memory and beside the computing, where it can."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.data.arrays import leaves, map_leaves

# The kinds of devices that copy from pinned memory by themselves, on several streams.
_COPYING = ("cuda", "xpu")


class Transfer:
    """Copies batches to a device.

    A copy from pinned memory does not wait for what the device is at, and nobody waits for it.
    torch does not use a pinned buffer again before the copies from it are through.

    Args:
        device: Where batches are wanted.

    Attributes:
        overlaps: Whether copies can run while the device computes.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.overlaps = self.device.type in _COPYING
        self._stream: Any = None

    @property
    def _api(self) -> Any:
        return getattr(torch, self.device.type)

    def send(self, batch: Any) -> Any:
        """The batch on the device, copied in line with what the device is to compute next."""
        return map_leaves(self._send, batch)

    def _send(self, tensor: Tensor) -> Tensor:
        if tensor.device == self.device:
            return tensor
        tensor = self._pinned(tensor)
        return tensor.to(self.device, non_blocking=tensor.is_pinned())

    def _pinned(self, tensor: Tensor) -> Tensor:
        is_here = tensor.device.type == "cpu" and tensor.layout == torch.strided
        if not (self.overlaps and is_here):
            return tensor
        # torch pins memory as it is laid out, and fails where one number stands for several.
        return (tensor.contiguous() if 0 in tensor.stride() else tensor).pin_memory()

    def open(self) -> None:
        """Make ready for `begin`; in the thread that computes, whose current device it is."""
        if self.overlaps and self._stream is None:
            if self.device.index is None:
                self.device = torch.device(self.device.type, self._api.current_device())
            self._stream = self._api.Stream(self.device)

    def begin(self, batch: Any) -> tuple[Any, Any]:
        """Start to copy a batch on a stream of its own; `end` says when it may be used."""
        if not self.overlaps:
            return batch, None
        with self._api.stream(self._stream):  # which makes its device the current one, too
            moved = self.send(batch)
            copied = self._api.Event()
            copied.record(self._stream)
        return moved, copied

    def end(self, moved: Any, copied: Any) -> Any:
        """What `begin` moved: the device computes with it once the copy is through."""
        if copied is None:
            return self.send(moved)
        computing = self._api.current_stream(self.device)
        computing.wait_event(copied)
        for tensor in leaves(moved):
            if tensor.device.type == self.device.type:
                # Or its memory would be free for the next copy before the computing is through.
                tensor.record_stream(computing)
        return moved

    def trace(self) -> Any:
        """What whoever computes or draws on the device leaves changed; `None` elsewhere."""
        if not self.overlaps:
            return None
        allocated = self._api.memory_stats(self.device).get("allocation.all.allocated", 0)
        return allocated, self._api.get_rng_state(self.device)
