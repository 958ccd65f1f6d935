"""Callbacks: objects whose hooks `fit`, `evaluate` and `predict` call, and their list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch

from kerasish.describe import describe, suggest

# Hooks that take `logs` only, and hooks that take the number of an epoch or batch first.
WHOLE_HOOKS = tuple(
    f"on_{phase}_{edge}" for phase in ("train", "test", "predict") for edge in ("begin", "end")
)
NUMBERED_HOOKS = (
    "on_epoch_begin",
    "on_epoch_end",
    *(
        f"on_{phase}_batch_{edge}"
        for phase in ("train", "test", "predict")
        for edge in ("begin", "end")
    ),
)
HOOKS = (*WHOLE_HOOKS, *NUMBERED_HOOKS)
# Keras's older names of the training hooks: a callback may define either.
OLDER_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


class Callback:
    """Base class: override the hooks you need; the others cost nothing.

    `epoch` and `batch` count from 0. `logs` maps names to numbers. In batch hooks it is read from
    the device when you look into it, so look seldom; at the end of an epoch it is one plain dict
    that all callbacks share in their order and may add to.

    Attributes:
        model: The model that is being trained, evaluated or asked to predict.
        params: What the run is: `epochs`, `steps` (`None` if unknown), `verbose`, `batch_size` and
            `metrics`, the names that the logs of an epoch will hold.
        log_names: Names that this callback adds to the logs of an epoch; others may monitor them.
        state_names: Attributes that change in the course of training, for `state_dict`.

    Example:
        >>> class Announce(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print(f"epoch {epoch}: loss {logs['loss']}")
        >>> CallbackList([Announce()]).on_epoch_end(0, {"loss": 0.5})
        epoch 0: loss 0.5
    """

    model: Any = None
    params: Mapping[str, Any] = MappingProxyType({})
    log_names: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()
    # Whether its hooks come after those of all others, whatever the order in the list.
    comes_last: bool = False
    # Set by CallbackList: another callback may add names to the logs without having declared them.
    others_may_log: bool = False

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Take the description of the run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model."""
        self.model = model

    def state_dict(self) -> dict[str, Any]:
        """What must be known to go on in another process: plain data and tensors."""
        return {name: getattr(self, name) for name in self.state_names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; it comes after `on_train_begin`."""
        for name, value in state.items():
            setattr(self, name, value)

    def on_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Before the first batch of an epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After an epoch and its validation; `logs` holds both."""

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Before a training step."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """After a training step; `logs` holds the means since the epoch began."""
        self.on_batch_end(batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Before a batch of `evaluate` or of validation."""

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """After a batch of `evaluate` or of validation."""

    def on_predict_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """After a batch of `predict`."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Once, before training."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Once, after training, whatever ended it: an error and Ctrl-C too."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before `evaluate`, or before each validation."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """After `evaluate`, or after each validation."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before `predict`."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """After `predict`."""


class CallbackList(Callback):
    """Calls a hook of several callbacks in their order; hooks nobody overrides cost nothing.

    Args:
        callbacks: One callback or any nesting of lists and tuples of them.
        add_history: Whether to add a `History` if there is none. It comes last, to see all logs.
        add_progbar: Whether to add a `ProgressBar` if there is none, unless `verbose` is 0.
        model: Handed to every callback.
        params: Handed to every callback; see `Callback.params`.
        **more_params: The same, one by one.

    Raises:
        TypeError: If something in `callbacks` is not a callback.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        **more_params: Any,
    ) -> None:
        self.callbacks: list[Any] = list(_flat(callbacks))
        given = {**(params or {}), **more_params}
        if add_progbar:
            self._add_progress_bar(given.get("verbose", "auto"))
        if add_history and self.history is None:
            from kerasish.callbacks.history import History

            self.callbacks.append(History())
        self.callbacks.sort(key=lambda known: getattr(known, "comes_last", False))
        self._bind()
        if model is not None:
            self.set_model(model)
        if given:
            self.set_params(given)

    def _add_progress_bar(self, verbose: Any) -> None:
        from kerasish.callbacks.progress import ProgressBar

        if verbose != 0 and not any(isinstance(known, ProgressBar) for known in self.callbacks):
            self.callbacks.append(ProgressBar(verbose))

    @property
    def history(self) -> Any:
        """The `History` among the callbacks, or `None`."""
        from kerasish.callbacks.history import History

        return next((known for known in self.callbacks if isinstance(known, History)), None)

    def append(self, callback: Callback) -> None:
        """Add a callback at the end."""
        self.callbacks += _flat(callback)
        self._bind()

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Hand the description of the run to every callback."""
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Hand the model to every callback."""
        self.model = model
        if self.history is not None:
            model.history = self.history
        for callback in self.callbacks:
            callback.set_model(model)

    def overrides(self, hook: str) -> bool:
        """Whether any callback does something at this hook.

        Raises:
            ValueError: If there is no such hook.
        """
        if hook not in HOOKS:
            raise ValueError(f"CallbackList: unknown hook '{hook}'{suggest(hook, HOOKS)}.")
        return hook in self._used

    def before_train_end(self) -> None:
        """Tell those that borrowed the optimizer's averages that these are about to be used."""
        for known in self.callbacks:
            if hasattr(known, "before_train_end"):
                known.before_train_end()

    def _bind(self) -> None:
        """Find once who overrides what, and put a function for each hook on this object."""
        self._used: set[str] = set()
        for hook in HOOKS:
            calls = [(known, getattr(known, hook)) for known in self.callbacks if _has(known, hook)]
            if hook == "on_epoch_end":
                # A live progress line is wiped before anybody prints.
                wipes = [known for known in self.callbacks if hasattr(known, "before_epoch_end")]
                calls = [(known, known.before_epoch_end) for known in wipes] + calls
            if calls:
                self._used.add(hook)
            setattr(self, hook, _fan_out(hook, calls))
        for known in self.callbacks:
            known.others_may_log = any(
                _may_log(other) for other in self.callbacks if other is not known
            )


def is_main_process() -> bool:
    """Whether this process writes files and messages: rank 0, or the only one."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized()) or (
        distributed.get_rank() == 0
    )


def _flat(callbacks: Any) -> Iterator[Any]:
    if callbacks is None:
        return
    if isinstance(callbacks, Iterable) and not isinstance(callbacks, (str, Mapping)):
        for inner in callbacks:
            yield from _flat(inner)
        return
    # Callbacks of Keras itself have the same hooks, so having them is enough.
    if isinstance(callbacks, type) or not hasattr(callbacks, "set_model"):
        hint = f" Did you mean {callbacks.__name__}()?" if isinstance(callbacks, type) else ""
        raise TypeError(f"callbacks: expected Callback objects, got {describe(callbacks)}.{hint}")
    yield callbacks


def _has(callback: Any, hook: str) -> bool:
    """Whether a callback overrides a hook, in its class or (LambdaCallback) on the object."""
    if isinstance(callback, CallbackList):
        return callback.overrides(hook)
    if hook in getattr(callback, "__dict__", {}):
        return True
    own = getattr(type(callback), hook, None)
    if own is not None and own is not getattr(Callback, hook):
        return True
    return hook in OLDER_NAMES and _has(callback, OLDER_NAMES[hook])


def _may_log(callback: Any) -> bool:
    """Whether a callback could add names to the logs that it does not declare: any foreign one."""
    ours = type(callback).__module__.startswith("kerasish.") and type(callback) is not CallbackList
    return (not ours or "on_epoch_end" in vars(callback)) and _has(callback, "on_epoch_end")


def _fan_out(hook: str, calls: list[tuple[Any, Callable]]) -> Callable[..., None]:
    """One function that calls a hook of all callbacks; an error says whose hook it was."""

    def numbered(number: int, logs: Any = None) -> None:
        if logs is None:
            logs = {}
        callback = None
        try:
            for callback, method in calls:  # noqa: B007  (the error path names it)
                method(number, logs)
        except Exception as error:
            error.add_note(f"in {type(callback).__name__}.{hook}({number})")
            raise

    def whole(logs: Any = None) -> None:
        logs = {} if logs is None else logs
        first_error: BaseException | None = None
        for callback, method in calls:
            try:
                method(logs)
            except BaseException as error:  # Ctrl-C too, which is raised again below
                error.add_note(f"in {type(callback).__name__}.{hook}")
                if hook.endswith("_begin"):
                    raise
                # The others still close their files and restore their weights.
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    return numbered if hook in NUMBERED_HOOKS else whole
