"""A batch in parts on all GPUs of one process: `data_parallel="dp"`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.data.arrays import leaves
from kerasish.layers.augmentation.draws import Samples, current_samples, seeing


class OnAllGpus:
    """A function of a model and a batch, computed in parts by `torch.nn.DataParallel`.

    What its threads would not know goes with the parts: which samples these hold, and inference
    mode. What layers of the copies add to the loss comes back and counts for the model, as a mean
    weighted by rows.

    Args:
        model: The model; its parameters are on `device`.
        function: What to compute from a copy of the model and a part of the batch.
        device: The GPU that the batch is on, and where results are gathered.
    """

    def __init__(
        self, model: Any, function: Callable[[Any, Any], Any], device: torch.device
    ) -> None:
        self.model = model
        first = torch.cuda.current_device() if device.index is None else device.index
        others = [number for number in range(torch.cuda.device_count()) if number != first]
        self.parallel = nn.DataParallel(_Part(model, function), [first, *others])

    def __call__(self, x: Any) -> Any:
        """The function's result for a batch."""
        samples = current_samples()
        if samples is not None:
            fits = len(samples.indices) == len(next(leaves(x)))
            calls = None if samples.calls is None else Counter()
            samples = samples._replace(calls=calls) if fits else None
        result, added, rows = self.parallel(x, samples, torch.is_inference_mode_enabled())
        if added is not None:
            self.model.add_loss((added * rows).sum() / rows.sum())
        return result


class _Part(nn.Module):
    """What one GPU computes; `DataParallel` makes a copy for each."""

    def __init__(self, model: nn.Module, function: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(
        self, x: Any, samples: Samples | None, in_inference: bool
    ) -> tuple[Any, Tensor | None, Tensor]:
        """The function's result, the sum of losses that layers added, and the number of rows."""
        with torch.inference_mode(in_inference), seeing(samples):
            result = self.function(self.model, x)
            first = next(leaves(x))
            rows = torch.full((1,), float(len(first)), device=first.device)
            added = [loss for m in self.model.modules() for loss in getattr(m, "_losses", ())]
            total = torch.as_tensor(sum(added), device=first.device)[None] if added else None
            return result, total, rows
