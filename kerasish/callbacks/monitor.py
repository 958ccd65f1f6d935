"""Watching one number of the logs: is it there, which direction is better, has it improved."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import math
import warnings
from typing import Any

from kerasish.callbacks.base import Callback
from kerasish.describe import describe, suggest

# What is better, for names that no metric object speaks for.
SMALLER = (
    "loss",
    "error",
    "crossentropy",
    "entropy",
    "divergence",
    "perplexity",
    "distance",
    "deviance",
)
SMALLER_WORDS = (
    "mse",
    "mae",
    "mape",
    "msle",
    "rmse",
    "ce",
    "kld",
    "nll",
    "hinge",
    "logcosh",
    "poisson",
)
LARGER = (
    "accuracy",
    "precision",
    "recall",
    "similarity",
    "specificity",
    "sensitivity",
    "positives",
)
LARGER_WORDS = (
    "acc",
    "auc",
    "auroc",
    "f1",
    "fbeta",
    "fmeasure",
    "iou",
    "dice",
    "map",
    "r2",
    "psnr",
    "ssim",
    "bleu",
)


class MonitorCallback(Callback):
    """Base of callbacks that act on whether one number of the logs improves.

    Args:
        monitor: Name in the logs of an epoch, such as `"val_loss"`.
        mode: `"min"`, `"max"`, or `"auto"` to infer from the metric which is better.
        best: Value that the first one must beat. `None`: the first one is the best so far.
        min_delta: Least change that counts as an improvement; its sign does not matter.

    Raises:
        ValueError: If `mode` is none of the three. When training begins: if there will be no such
            number, or its better direction is not known.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        best: float | None = None,
        min_delta: float = 0.0,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(
                f'{type(self).__name__}: `mode` must be "auto", "min" or "max", '
                f"got {describe(mode)}."
            )
        self.monitor = monitor
        self.mode = mode
        self.best = best
        self.min_delta = abs(min_delta)
        self._sign: int | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._check_monitor()
        self._sign = self._direction()

    def is_improvement(self, value: float, reference: float | None) -> bool:
        """Whether `value` is better than `reference` by more than `min_delta`; NaN never is."""
        if math.isnan(value):
            return False
        if reference is None:
            return True
        if self._sign is None:
            self._sign = self._direction()
        return self._sign * (value - reference) > self.min_delta

    def monitored(self, logs: Any) -> float | None:
        """The number in these logs; `None` in an epoch without it (`validation_freq` above 1)."""
        value = None if logs is None else logs.get(self.monitor)
        if value is None and self.monitor not in self.params.get("metrics", ()):
            warnings.warn(
                f"{type(self).__name__}: the logs hold no '{self.monitor}'"
                f"{suggest(self.monitor, logs or ())}",
                stacklevel=4,
            )
        return None if value is None else float(value)

    def _check_monitor(self) -> None:
        names = self.params.get("metrics")
        if not names or self.monitor in names or self.others_may_log:
            return
        hint = ""
        if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in names):
            hint = " There is no validation data: pass validation_data or validation_split to fit."
        raise ValueError(
            f"{type(self).__name__}: nothing is logged as '{self.monitor}'"
            f"{suggest(self.monitor, names)}.{hint}"
        )

    def _direction(self) -> int:
        """1 if bigger is better, -1 if smaller is."""
        if self.mode != "auto":
            return 1 if self.mode == "max" else -1
        word = direction_of(self.monitor, getattr(self.model, "metrics", None) or ())
        if word is None:
            raise ValueError(
                f"{type(self).__name__}: is a bigger or a smaller '{self.monitor}' better? "
                'Its name and metric do not say; pass mode="max" or mode="min".'
            )
        return 1 if word == "up" else -1


def direction_of(name: str, metrics: Any = ()) -> str | None:
    """`"up"` if a bigger number is better, `"down"` if a smaller one is, `None` if unknown.

    Args:
        name: Name in the logs, with or without `val_` and the name of an output.
        metrics: The model's metrics, objects with `name` and perhaps `direction`.

    Example:
        >>> direction_of("val_loss"), direction_of("top_5_accuracy"), direction_of("wobble")
        ('down', 'up', None)
    """
    name = name.removeprefix("val_")
    # The longest name first: with metrics "iou" and "mean_iou", "mean_iou" is not about "iou".
    for metric in sorted(metrics, key=lambda metric: -len(metric.name)):
        direction = getattr(metric, "direction", None)
        if direction in ("up", "down") and (
            name == metric.name or name.endswith("_" + metric.name)
        ):
            return direction
    words = name.lower().split("_")
    joined = "".join(words)
    if any(part in joined for part in SMALLER) or set(words) & set(SMALLER_WORDS):
        return "down"
    larger = any(part in joined for part in LARGER) or joined.endswith("iou")
    if larger or set(words) & set(LARGER_WORDS):
        return "down" if joined.startswith("false") else "up"
    return "down" if joined in ("falsepositives", "falsenegatives") else None
