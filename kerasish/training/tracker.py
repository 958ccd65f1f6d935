"""Running means of loss and metrics that nobody waits for.

Batches' results are kept as references and reduced a window at a time, in a handful of calls. Logs
read numbers from the device only when somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from kerasish.data.arrays import leaves
from kerasish.devices import tensor_on
from kerasish.metrics import Metric
from kerasish.training.objective import Objective

# What is kept for later is bounded in steps and in bytes.
_WINDOW_STEPS = 64
_WINDOW_BYTES = 16 << 20

Kept = tuple[Tensor, Any, Any, Any, Any]  # loss, y_pred, y, sample_weight, mask


class Tracker:
    """Collects `(loss, y_pred, y, sample_weight, mask)` of each batch for an objective's metrics.

    Append to `kept`, and call `reduce()` when it has `window` entries.

    Args:
        objective: The compiled losses and metrics.
        own: Metrics by name that the model and its layers keep and update themselves.
    """

    def __init__(self, objective: Objective, own: Mapping[str, Metric] | None = None) -> None:
        self.objective = objective
        self.logged = [*objective.logged, *(own or {}).items()]
        self.kept: list[Kept] = []
        self.window = _WINDOW_STEPS

    def size_window(self, y: Any, y_pred: Any) -> None:
        """Choose how many batches to keep, from the size of one."""
        size = sum(t.nbytes for t in leaves((y, y_pred)))
        self.window = max(1, min(_WINDOW_STEPS, _WINDOW_BYTES // max(1, size)))

    def reset(self) -> None:
        """Forget all batches."""
        self.kept.clear()
        for _, metric in self.logged:
            metric.reset_state()

    @torch.no_grad()
    def reduce(self) -> None:
        """Take what is kept into the metrics."""
        if not self.kept:
            return
        kept, sizes = list(self.kept), [_rows(entry[1]) for entry in self.kept]
        self.kept.clear()
        if 0 in sizes:
            # Of several processes, one had nothing to do in the last batch.
            kept = [entry for entry, size in zip(kept, sizes, strict=True) if size]
            sizes = [size for size in sizes if size]
            if not kept:
                return
        losses = torch.stack([entry[0] for entry in kept])
        weights = tensor_on(losses.device, sizes, losses.dtype)
        self.objective.total.update_state(losses, sample_weight=weights)
        self.update_metrics(kept)

    @torch.no_grad()
    def update_metrics(self, kept: list[Kept]) -> None:
        """Take batches into the compiled metrics, but not into the mean of the loss."""
        for i, output in enumerate(self.objective.outputs):
            for weighted, group in ((False, output.metrics), (True, output.weighted_metrics)):
                if group:
                    self._update(group, kept, i, weighted)

    def _update(self, group: list[Metric], kept: list[Kept], index: int, weighted: bool) -> None:
        pick = self.objective.flat
        rows = []
        for _, y_pred, y, weight, mask in kept:
            w = pick(weight)[index] if weighted else None
            m = pick(mask)[index]
            if m is not None:
                w = m if w is None else w.reshape(w.shape + (1,) * (m.dim() - w.dim())) * m
            rows.append((pick(y)[index], list(leaves(y_pred))[index], w))
        if rows[0][0] is None:
            return
        joined = _join(rows)
        for metric in group:
            for y, y_pred, w in joined if metric.concatenable else rows:
                if w is None:
                    metric.update_state(y, y_pred)
                else:
                    metric.update_state(y, y_pred, sample_weight=w)

    def merge_processes(self) -> None:
        """Add up what all processes have seen; every process must call it, once."""
        self.reduce()
        for _, metric in self.logged:
            metric.merge_processes()

    def results(self) -> dict[str, Any]:
        """The present value of each metric as a tensor, by name; dict results are spread out."""
        self.reduce()
        found: dict[str, Any] = {}
        for name, metric in self.logged:
            value = metric.result()
            found.update(value if isinstance(value, Mapping) else {name: value})
        return found


def _rows(y_pred: Any) -> int:
    first = y_pred if isinstance(y_pred, Tensor) else next(leaves(y_pred))
    return first.shape[0] if first.dim() else 1


def _join(rows: list) -> list:
    """The batches as one, where their shapes allow it."""
    if len(rows) == 1 or len({r[1].shape[1:] for r in rows}) > 1:
        return rows
    if len({r[0].shape[1:] for r in rows}) > 1:
        return rows
    weights = None if rows[0][2] is None else torch.cat([r[2] for r in rows])
    return [(torch.cat([r[0] for r in rows]), torch.cat([r[1] for r in rows]), weights)]


class LazyLogs(Mapping):
    """Logs of a batch hook: computed when read, as they then stand."""

    def __init__(self, results: Callable[[], Mapping[str, Any]]) -> None:
        self._results = results

    def _read(self) -> dict[str, float]:
        return {name: to_number(value) for name, value in self._results().items()}

    def __getitem__(self, name: str) -> float:
        return self._read()[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a log, or the default."""
        return self._read().get(name, default)

    def items(self) -> Any:
        """Names and values, all of one moment."""
        return self._read().items()

    def values(self) -> Any:
        """Values, all of one moment."""
        return self._read().values()

    def __iter__(self) -> Iterator[str]:
        return iter(self._results())

    def __len__(self) -> int:
        return len(self._results())

    def __repr__(self) -> str:
        return repr(self._read())


def to_number(value: Any) -> Any:
    """A Python number from a 0-d tensor; tensors of several numbers become lists."""
    if isinstance(value, Tensor):
        return value.item() if value.numel() == 1 else value.tolist()
    return float(value) if hasattr(value, "dtype") else value
