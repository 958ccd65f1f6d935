"""LambdaCallback: a callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kerasish.callbacks.base import HOOKS, OLDER_NAMES, Callback
from kerasish.describe import describe, suggest


class LambdaCallback(Callback):
    """Calls the functions you give at the hooks you name.

    Args:
        on_epoch_begin: Called with `(epoch, logs)`.
        on_epoch_end: Called with `(epoch, logs)`.
        on_train_begin: Called with `(logs)`.
        on_train_end: Called with `(logs)`.
        on_train_batch_begin: Called with `(batch, logs)`.
        on_train_batch_end: Called with `(batch, logs)`.
        **kwargs: Functions for the other hooks of `Callback`, by name.

    Raises:
        TypeError: If there is no such hook, or something is not callable.

    Example:
        >>> said = []
        >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: said.append(logs["loss"]))
        >>> callback.on_epoch_end(0, {"loss": 0.5})
        >>> said
        [0.5]
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Callable[..., Any],
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        known = (*HOOKS, *OLDER_NAMES.values())
        for hook, function in given.items():
            if hook not in known:
                raise TypeError(f"LambdaCallback: unknown hook '{hook}'{suggest(hook, known)}.")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(
                    f"LambdaCallback: {hook} must be a function, got {describe(function)}."
                )
            setattr(self, hook, function)
