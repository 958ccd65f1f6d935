"""Choosing the feed that fits the user's data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kerasish.data.arrays import is_array
from kerasish.data.columns import open_table
from kerasish.data.feed import ArrayFeed, Feed
from kerasish.data.shard import Shard
from kerasish.data.stream import StreamFeed, check_source, rows_of_dataset
from kerasish.describe import describe


def make_feed(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int | None = None,
    shuffle: bool | str = False,
    seed: int = 0,
    device: torch.device | str = "cpu",
    shard: Shard | None = None,
    floats: torch.dtype | None = None,
) -> Feed:
    """Choose the feed for a kind of data.

    Args:
        x: Arrays, tensors, frames or lists (perhaps nested); or a `Dataset` (of torch
            or Hugging Face), `DataLoader`, generator or iterable, which brings its own targets.
        y: Targets, for in-memory `x`.
        sample_weight: One weight for each row, for in-memory `x`.
        batch_size: Rows in a batch, 32 by default; sources that make batches decide themselves.
        shuffle: Whether to draw a new order each epoch, where the feed makes the batches.
        seed: With the epoch's number, decides the order.
        device: Where batches are wanted.
        shard: The part of the rows that this process takes, where several train together.
        floats: What 64-bit floats become; by default the default float type.

    Raises:
        ValueError: If arguments do not go together.
        TypeError: If `x` is none of these.
    """
    if isinstance(batch_size, np.integer):
        batch_size = int(batch_size)
    if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
        raise ValueError(f"`batch_size` must be a positive integer, got {describe(batch_size)}.")
    if isinstance(x, Feed):
        return x
    x = open_table(x)
    if x is None:
        raise ValueError("There is no data: x is None.")
    tensors = rows_of_dataset(x)
    if tensors is not None and y is None and sample_weight is None:
        x, y, sample_weight = tensors
    if is_array(x):
        return ArrayFeed(
            x,
            y,
            sample_weight,
            batch_size=batch_size or 32,
            shuffle=shuffle,
            seed=seed,
            device=device,
            shard=shard,
            floats=floats,
        )
    check_source(x)
    if y is not None or sample_weight is not None:
        name = "y" if y is not None else "sample_weight"
        raise ValueError(
            f"`{name}` must not be given when x is {describe(x)}: it brings its own. Let it yield "
            "(x, y) or (x, y, sample_weight)."
        )
    return StreamFeed(
        x,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        device=device,
        shard=shard,
        floats=floats,
    )
