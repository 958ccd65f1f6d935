"""Small checks and conversions at the edges of fit, evaluate and predict."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kerasish.data.arrays import is_array
from kerasish.data.columns import open_table
from kerasish.data.stream import is_py_dataset
from kerasish.describe import describe, users_level


def check_count(name: str, value: Any, minimum: int = 1, *, required: bool = False) -> None:
    """Refuse what is not a whole number of at least `minimum`, or `None` unless required.

    Raises:
        ValueError: If it is neither.
    """
    if value is None and not required:
        return
    is_whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if value is None or not is_whole or value < minimum:
        raise ValueError(
            f"`{name}` must be a whole number of at least {minimum}, got {describe(value)}."
        )


def frequency(value: Any) -> int | set[int]:
    """`validation_freq` as a number of epochs, or as the set of those that are due.

    Raises:
        ValueError: If it is neither a positive number nor a collection of such.
    """
    if isinstance(value, (list, tuple, set, range, np.ndarray)):
        epochs: list[Any] = list(value)
        for epoch in epochs:
            check_count("validation_freq", epoch)
        return set(epochs)
    if value is None:
        raise ValueError("`validation_freq` must be a number of epochs or a list of epochs.")
    check_count("validation_freq", value)
    return value


def unpack_validation(data: Any) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` from what the user gave as `validation_data`."""
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        padded = (*data, None)
        return padded[0], padded[1], padded[2]
    return open_table(data), None, None


@contextmanager
def random_state_kept_on_error() -> Iterator[None]:
    """Give the random numbers back that were drawn before something went wrong."""
    before = torch.get_rng_state()
    try:
        yield
    except BaseException:
        torch.set_rng_state(before)
        raise


def warn_without_effect(
    initial_epoch: int, epochs: int, validated: Any, split: Any, **validation: Any
) -> None:
    """Say which settings of `fit` do nothing.

    Args:
        initial_epoch: As in `fit`.
        epochs: As in `fit`.
        validated: The `validation_data`.
        split: The `validation_split`.
        **validation: Settings of the validation that were given, `None` where they were not.
    """
    given = [f"{name}={value}" for name, value in validation.items() if value is not None]
    if validated is None and not split and given:
        _say_useless(f"{', '.join(given)}: there is no validation_data and no validation_split.")
    if validated is not None and split:
        _say_useless(f"validation_split={split}: validation_data is given.")
    if initial_epoch >= epochs > 0:
        _say_useless(f"epochs={epochs}: training begins with initial_epoch={initial_epoch}.")


def _say_useless(what: str) -> None:
    warnings.warn(f"fit: no effect has {what}", stacklevel=users_level())


@contextmanager
def noted_on_error(note: str) -> Iterator[None]:
    """Say where something went wrong."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def check_shuffle(x: Any, shuffle: bool | str) -> None:
    """Refuse an unknown way of shuffling; say so when one cannot do anything for this source.

    Raises:
        ValueError: If it is neither a truth value nor "batch".
    """
    if isinstance(shuffle, str) and shuffle != "batch":
        raise ValueError(f'`shuffle` must be True, False or "batch", got {describe(shuffle)}.')
    is_shuffled = is_array(x) or isinstance(x, Dataset) or is_py_dataset(x)
    if shuffle == "batch" and not is_shuffled:
        warnings.warn(
            f"fit: shuffle='batch' has no effect on {describe(x)}, which makes its own batches.",
            stacklevel=users_level(),
        )


def final_logs(logs: dict[str, Any] | None) -> dict[str, Any]:
    """The logs for `on_train_end`: those of the last finished epoch."""
    return dict(logs or {})


def as_numpy(tensor: Tensor) -> np.ndarray:
    """A NumPy array; bfloat16, which NumPy lacks, becomes float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
