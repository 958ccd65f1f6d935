"""What `compile` decides: one immutable object that fit, evaluate and predict read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from kerasish.describe import describe, suggest
from kerasish.optimizers import Optimizer
from kerasish.training import parallel

PRECISIONS = ("float32", "bfloat16-mixed", "float16-mixed", "float64")
MEMORY_FORMATS = {
    None: None,
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. See `Trainer.compile` for what each field means."""

    optimizer: Optimizer
    loss: Any = None
    loss_weights: Any = None
    metrics: Any = None
    weighted_metrics: Any = None
    device: str = "auto"
    precision: str = "float32"
    memory_format: str | None = None
    jit_compile: bool = False
    accumulate_steps: int = 1
    clip_norm: float | None = None
    lr_multipliers: Mapping[str, float] | None = None
    data_parallel: str | None = None
    deterministic: bool = False
    debug_nans: bool = False
    ignored: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            kind = str(self.precision).removeprefix("mixed_")  # a policy of Keras
            hint = suggest(self.precision, PRECISIONS)
            if f"{kind}-mixed" in PRECISIONS:
                hint = f"; did you mean '{kind}-mixed'? Names: {', '.join(PRECISIONS)}"
            raise ValueError(f"compile: unknown precision {describe(self.precision)}{hint}.")
        if self.memory_format not in MEMORY_FORMATS:
            known = [name for name in MEMORY_FORMATS if name]
            raise ValueError(
                f"compile: unknown memory_format {describe(self.memory_format)}"
                f"{suggest(self.memory_format, known)}."
            )
        if not isinstance(self.accumulate_steps, int) or self.accumulate_steps < 1:
            raise ValueError(
                "compile: `accumulate_steps` must be a positive integer, "
                f"got {describe(self.accumulate_steps)}."
            )
        if self.accumulate_steps > 1 and self.optimizer.gathers:
            raise ValueError(
                "compile: accumulate_steps and the optimizer's gradient_accumulation_steps both "
                "gather batches for an update; use one of them."
            )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(
                f"compile: `clip_norm` must be positive, got {describe(self.clip_norm)}."
            )
        parallel.check_kind(self.data_parallel)
        self.torch_device()

    def torch_device(self) -> torch.device:
        """The device to compute on; `"auto"` is the first GPU if there is one, else the CPU.

        Raises:
            ValueError: If there is no such device.
        """
        name = {"gpu": "cuda"}.get(str(self.device), str(self.device))
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda" and self.data_parallel == "ddp" and "LOCAL_RANK" in os.environ:
            name = f"cuda:{os.environ['LOCAL_RANK']}"
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise ValueError(
                f"compile: unknown device {describe(self.device)}. "
                'Names: "auto", "cpu", "cuda", "cuda:1", "mps".'
            ) from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f'compile: device="{self.device}" was asked for, but torch sees no GPU. '
                'Use device="auto" to fall back to the CPU.'
            )
        return device

    @property
    def floats(self) -> torch.dtype | None:
        """What 64-bit floats of the data become; `None` for the default float type."""
        return torch.float64 if self.precision == "float64" else None

    def torch_memory_format(self) -> torch.memory_format | None:
        """The torch memory format, or `None` to leave tensors as they are."""
        return MEMORY_FORMATS[self.memory_format]
