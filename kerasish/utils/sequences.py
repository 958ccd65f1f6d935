"""Sequences: padding rows of different lengths, and windows that slide over a time series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from kerasish.data import to_tensor
from kerasish.data.batch_source import BatchSource
from kerasish.describe import describe
from kerasish.utils.batches import Batches


def pad_sequences(
    sequences: Iterable[Sequence],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Rows of different lengths as one array, filled up with `value` and cut to `maxlen`.

    Shapes:
        output: `(rows, maxlen, ...)`

    Args:
        sequences: The rows: lists of numbers, or of vectors of one size.
        maxlen: The common length; the longest row's by default.
        dtype: The NumPy type of the result; `object` for text.
        padding: Where the filling goes: `"pre"` or `"post"`.
        truncating: Where long rows lose items: `"pre"` or `"post"`.
        value: The filling.

    Raises:
        ValueError: If an option is unknown, a row is not a sequence, or items differ in shape.

    Example:
        >>> pad_sequences([[1], [2, 3, 4]], maxlen=2).tolist()
        [[0, 1], [3, 4]]
    """
    for name, option in (("padding", padding), ("truncating", truncating)):
        if option not in ("pre", "post"):
            raise ValueError(
                f"pad_sequences: `{name}` must be 'pre' or 'post', got {describe(option)}."
            )
    rows = [_as_row(row) for row in sequences]
    length = max((len(row) for row in rows), default=0) if maxlen is None else maxlen
    item_shape = next((np.shape(row)[1:] for row in rows if len(row)), ())
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ValueError(
            f"pad_sequences: `value` is text but `dtype` is {dtype}; pass dtype=object."
        )
    result = np.full((len(rows), length, *item_shape), value, dtype=dtype)
    for target, row in zip(result, rows, strict=True):
        if len(row) and np.shape(row)[1:] != item_shape:
            raise ValueError(
                f"pad_sequences: items must have one shape, got {np.shape(row)[1:]} after "
                f"{item_shape}."
            )
        kept = row[max(0, len(row) - length) :] if truncating == "pre" else row[:length]
        if len(kept) and padding == "pre":
            target[-len(kept) :] = kept
        elif len(kept):
            target[: len(kept)] = kept
    return result


def _as_row(row: Any) -> Any:
    if isinstance(row, torch.Tensor):
        return row.detach().cpu().numpy()
    if not hasattr(row, "__len__"):
        raise ValueError(f"pad_sequences: every row must be a sequence, got {describe(row)}.")
    return row


class Windows(BatchSource):
    """Windows of a series and their targets, cut when they are asked for.

    Args:
        series: The series, time along the first axis.
        targets: What belongs to each window, or `None`.
        starts: Where each window begins.
        offsets: The steps of a window, counted from its start.
    """

    is_fixed = True

    def __init__(
        self,
        series: torch.Tensor,
        targets: torch.Tensor | None,
        starts: torch.Tensor,
        offsets: torch.Tensor,
    ) -> None:
        self.series, self.targets = series, targets
        self.starts, self.offsets = starts, offsets

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Any:
        """The windows of these numbers as one batch."""
        starts = self.starts[torch.as_tensor(indices)]
        windows = self.series[starts[:, None] + self.offsets]  # (batch, sequence_length, ...)
        return windows if self.targets is None else (windows, self.targets[starts])


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Batches:
    """Batches of windows that slide over a series; the windows are never all in memory.

    Window `i` holds the steps `s, s + sampling_rate, …` where `s = i * sequence_stride`, and its
    target is `targets[s]`.

    Shapes:
        data: `(time, ...)`
        targets: `(time, ...)`
        batch: `(batch, sequence_length, ...)`, and `(batch, ...)` where there are targets

    Args:
        data: The series: an array or tensor.
        targets: `targets[s]` belongs to the window that begins at step `s`; to predict the step
            after each window, pass `data[sequence_length:]`. `None` for windows alone.
        sequence_length: Steps in a window.
        sequence_stride: Steps from one window's start to the next.
        sampling_rate: Steps of the series between two steps of a window.
        batch_size: Windows in a batch; `None` gives them one by one.
        shuffle: Whether windows come in a new order each epoch.
        seed: Makes the orders repeat.
        start_index: The first step that is used.
        end_index: The step after the last one that is used.

    Raises:
        ValueError: If a number is not positive or an index lies outside the series, or no window
            fits.

    Example:
        >>> windows = timeseries_dataset_from_array(torch.arange(6.0), None, sequence_length=3)
        >>> next(iter(windows)).tolist()
        [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [3.0, 4.0, 5.0]]
    """
    series = to_tensor(data, "data")
    aligned = None if targets is None else to_tensor(targets, "targets")
    steps = {
        "sequence_length": sequence_length,
        "sequence_stride": sequence_stride,
        "sampling_rate": sampling_rate,
    }
    for name, number in steps.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(
                f"timeseries_dataset_from_array: `{name}` must be a positive integer, got "
                f"{describe(number)}."
            )
    first, last = _bounds(len(series), start_index, end_index)
    count = last - first - (sequence_length - 1) * sampling_rate
    if aligned is not None:
        aligned = aligned[first:last]
        count = min(count, len(aligned))
    if count < 1:
        raise ValueError(
            f"timeseries_dataset_from_array: no window of {sequence_length} steps, "
            f"{sampling_rate} apart, fits into steps {first} to {last}."
        )
    starts = torch.arange(0, count, sequence_stride)
    offsets = torch.arange(sequence_length) * sampling_rate
    windows = Windows(series[first:last], aligned, starts, offsets)
    return Batches(windows, batch_size=batch_size, shuffle=shuffle, seed=seed)


def _bounds(length: int, start: int | None, end: int | None) -> tuple[int, int]:
    first = 0 if start is None else start
    last = length if end is None else end
    if not 0 <= first < last <= length:
        raise ValueError(
            "timeseries_dataset_from_array: `start_index` and `end_index` must lie in order "
            f"within the {length} steps of the series, got {start} and {end}."
        )
    return first, last
