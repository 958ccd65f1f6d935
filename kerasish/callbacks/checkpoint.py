"""ModelCheckpoint: saves the model while it trains."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import itertools
import os
import shutil
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasish.callbacks.base import is_main_process
from kerasish.callbacks.console import say
from kerasish.callbacks.monitor import MonitorCallback
from kerasish.describe import describe, suggest


class ModelCheckpoint(MonitorCallback):
    """Saves the model after each epoch, or every few batches, perhaps only when it is better.

    Args:
        filepath: Where to save. May name `{epoch}` (from 1), `{batch}` (from 1, with an integer
            `save_freq`) and any number of the logs: `"run/{epoch:02d}-{val_loss:.2f}.kerasish"`.
        monitor: Name in the logs, for `save_best_only`.
        verbose: 1 says what is saved.
        save_best_only: Whether to save only when the monitored number improves.
        save_weights_only: Whether to call `save_weights` instead of `save`.
        mode: `"min"`, `"max"`, or `"auto"` to infer from the metric which is better.
        save_freq: `"epoch"`, or the number of batches between savings, counted across epochs.
        initial_value_threshold: Value that the first one must beat, for `save_best_only`.
        max_to_keep: How many of the files written in this run to keep; older ones are deleted.
            `None` keeps all.

    Attributes:
        best: The best value so far.
        last_path: The file saved last, `None` before the first.

    Raises:
        ValueError: If `save_freq` or `max_to_keep` is not a positive number. When training begins:
            if `monitor` or the file name speaks of something that is not logged,
            or the name cannot be filled in.
        OSError: When training begins, if the folder cannot be made.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        *,
        max_to_keep: int | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        if save_freq != "epoch" and not _positive(save_freq):
            raise ValueError(
                'ModelCheckpoint: `save_freq` must be "epoch" or a positive number of batches, '
                f"got {describe(save_freq)}."
            )
        if max_to_keep is not None and not _positive(max_to_keep):
            raise ValueError(
                "ModelCheckpoint: `max_to_keep` must be a positive integer or None, "
                f"got {describe(max_to_keep)}."
            )
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.max_to_keep = max_to_keep
        self.last_path: Path | None = None
        self._written: list[Path] = []
        self._epoch = 0
        self._batches = 0
        self._last_batch = -1
        if save_freq != "epoch":
            # Only then is there anything to do at each step.
            self.on_train_batch_end = self._count_batch

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "last_path": None if self.last_path is None else str(self.last_path),
            "written": [str(path) for path in self._written],
            "batches": [self._batches, self._last_batch],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        self.last_path = None if state["last_path"] is None else Path(state["last_path"])
        self._written = [Path(path) for path in state["written"]]
        self._batches, self._last_batch = state["batches"]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.save_best_only:
            super().on_train_begin(logs)
        self._check_template()
        self._check_names()
        self._make_folder()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._last_batch = -1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _count_batch(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Batch numbers may jump, with several steps per call of this hook.
        self._batches += batch - self._last_batch
        self._last_batch = batch
        if self._batches >= int(self.save_freq):
            self._batches = 0
            self._save(self._epoch, batch, logs if logs is not None else {})

    def _check_names(self) -> None:
        if self.save_freq != "epoch" and self.save_best_only and self.monitor.startswith("val_"):
            raise ValueError(
                f"ModelCheckpoint: '{self.monitor}' is known at the end of an epoch only, but "
                f"save_freq={self.save_freq} saves in between. Monitor a training number, "
                'or use save_freq="epoch".'
            )
        names = self.params.get("metrics")
        if not names or self.others_may_log:
            return
        known = ["epoch", *names]
        if self.save_freq != "epoch":
            known = ["epoch", "batch", *(name for name in names if not name.startswith("val_"))]
        for _, field, _, _ in string.Formatter().parse(self.filepath):
            if field is not None and field not in known:
                raise ValueError(
                    f"ModelCheckpoint: the file name asks for '{field}', which is not logged"
                    f"{suggest(field, known)}."
                )

    def _check_template(self) -> None:
        """Fill the name in once with made-up numbers: some formats take whole ones, some others."""
        errors = []
        for number in (0.5, 1):
            try:
                self.filepath.format_map(_Anything(number, epoch=1, batch=1))
            except (ValueError, IndexError, AttributeError, TypeError) as error:
                errors.append(error)
        if len(errors) == 2:
            raise ValueError(
                f"ModelCheckpoint: the file name {self.filepath!r} cannot be filled in: "
                f'{errors[0]}. Write, for example, "{{epoch:02d}}-{{loss:.3f}}.kerasish".'
            ) from errors[0]

    def _make_folder(self) -> None:
        """Make the folder now: that it cannot be written to is worth knowing before an epoch."""
        parts = Path(self.filepath).parent.parts
        folder = Path(*itertools.takewhile(lambda part: "{" not in part, parts))
        if not is_main_process():
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(f"The folder {folder} must not be written to.")
        except OSError as error:
            error.add_note(f"ModelCheckpoint cannot write {self.filepath}; choose another filepath")
            raise

    def _save(self, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> None:
        why = ""
        if self.save_best_only:
            value = self.monitored(logs)
            if value is None or not self.is_improvement(value, self.best):
                return
            before = "" if self.best is None else f", better than {self.best:.5g}"
            why = f" ({self.monitor} {value:.5g}{before})"
            self.best = value
        path = self._path(epoch, batch, logs)
        if is_main_process():
            path.parent.mkdir(parents=True, exist_ok=True)
            save = self.model.save_weights if self.save_weights_only else self.model.save
            save(str(path))
        self.last_path = path
        if is_main_process():
            self._forget_old(path)
            if self.verbose:
                say(f"ModelCheckpoint: epoch {epoch + 1} saved to {path}{why}.")

    def _path(self, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> Path:
        places: dict[str, Any] = {"epoch": epoch + 1}
        if batch is not None:
            places["batch"] = batch + 1
        wanted = {field for _, field, _, _ in string.Formatter().parse(self.filepath) if field}
        # Only what the name asks for is read: logs of a batch come from the device.
        places.update({name: logs[name] for name in wanted - places.keys() if name in logs})
        try:
            return Path(self.filepath.format(**places))
        except KeyError as error:
            raise KeyError(
                f"ModelCheckpoint: the file name asks for {error}, which epoch {epoch + 1} "
                f"did not log{suggest(error.args[0], [*places, *logs])}."
            ) from error

    def _forget_old(self, path: Path) -> None:
        """Delete the oldest of this run's own files beyond `max_to_keep`."""
        if self.max_to_keep is None:
            return
        self._written = [known for known in self._written if known != path] + [path]
        while len(self._written) > self.max_to_keep:
            old = self._written.pop(0)
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.unlink(missing_ok=True)


class _Anything(dict[str, float]):
    """Names known and unknown, each with a number."""

    def __init__(self, number: float, **known: float) -> None:
        super().__init__(known)
        self.number = number

    def __missing__(self, name: str) -> float:
        return self.number


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
