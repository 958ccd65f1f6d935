"""BackupAndRestore: a run that was killed goes on where it was."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import torch

from kerasish.callbacks.base import Callback, is_main_process
from kerasish.callbacks.console import say
from kerasish.describe import describe
from kerasish.saving.archive import Archive, ArchiveError, read_archive, write_archive

NAME = "run.kerasish"
OLDER = "run.before.kerasish"


class Resumable(Protocol):
    """The run as `fit` shows it to this callback."""

    is_finished: bool
    """Whether training came to its end by itself."""

    def capture(self, epoch: int, batch: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Documents and tensors for `write_archive`; every process must call it."""
        ...


class BackupAndRestore(Callback):
    """Keeps a copy of the whole state of training, from which the next `fit` goes on.

    Run the same script again after a crash, a kill or a power cut, and training ends with the
    weights it would have had: weights, optimizer, schedule, metrics, callbacks, the order of the
    data and all random numbers go on from the copy, on a CPU to the last bit. The copy is replaced
    only when a new one is complete.

    What cannot come back is state that sources keep to themselves: a `DataLoader`'s
    `persistent_workers` that draw random numbers, a `PyDataset` that reshuffles itself, a generator
    that does not repeat.

    Args:
        backup_dir: A folder of this run's own.
        save_freq: `"epoch"`, or the number of batches between copies, counted across epochs.
        double_checkpoint: Whether to keep the copy before the last one too.
        delete_checkpoint: Whether to delete the copies when training came to its end. If they stay,
            calling `fit` with more epochs goes on, and with as many returns at once.
        every_seconds: Copy also in the middle of an epoch when so much time has passed.

    Raises:
        ValueError: If `save_freq` is neither. When training begins: if the copy is of a run with
            other data, another batch size or another model.
    """

    # The copy must hold what the other callbacks did in the same hook.
    comes_last = True
    state_names = ("_batches",)

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
        *,
        every_seconds: float | None = None,
    ) -> None:
        if save_freq != "epoch" and not (type(save_freq) is int and save_freq > 0):
            raise ValueError(
                'BackupAndRestore: `save_freq` must be "epoch" or a positive number of batches, '
                f"got {describe(save_freq)}."
            )
        if not os.fspath(backup_dir):
            raise ValueError("BackupAndRestore: `backup_dir` must name a folder, got ''.")
        self.backup_dir = Path(backup_dir)
        self.save_freq, self.every_seconds = save_freq, every_seconds
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self._run: Resumable | None = None
        self._epoch = self._batches = 0
        self._saved_at = 0.0
        if save_freq != "epoch" or every_seconds is not None:
            # Only then is there anything to do at each step.
            self.on_train_batch_end = self._count_batch

    @classmethod
    def for_resume(cls, folder: str | os.PathLike[str]) -> BackupAndRestore:
        """What `fit(resume=folder)` means: a copy each epoch and every five minutes that stays."""
        return cls(folder, delete_checkpoint=False, every_seconds=300)

    @property
    def path(self) -> Path:
        """The file with the copy."""
        return self.backup_dir / NAME

    def attach(self, run: Resumable) -> None:
        """Take the run whose state is to be copied."""
        self._run = run
        self._batches = 0
        self._saved_at = perf_counter()

    def read(self) -> Archive | None:
        """The last complete copy, or `None`.

        Raises:
            ArchiveError: If there is a copy but it cannot be read.
        """
        older = self.backup_dir / OLDER
        for path in (self.path, older):
            if not path.exists():
                continue
            try:
                return read_archive(path)
            except ArchiveError as error:
                if path == older or not older.exists():
                    raise
                say(f"BackupAndRestore: {error} Going on from the copy before it.")
        return None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def save_epoch(self, epoch: int) -> None:
        """Called by `fit` when an epoch is over and everyone has had its word."""
        if self.save_freq == "epoch":
            self.save(epoch + 1, 0)

    def save(self, epoch: int, batch: int) -> None:
        """Copy the state from which training goes on at this batch of this epoch."""
        assert self._run is not None
        self._saved_at = perf_counter()
        documents, tensors = self._run.capture(epoch, batch)
        if not is_main_process():
            return
        if self.double_checkpoint and self.path.exists():
            self.path.replace(self.backup_dir / OLDER)
        write_archive(self.path, documents, tensors)

    def _count_batch(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._batches += 1
        due = self.save_freq != "epoch" and self._batches % int(self.save_freq) == 0
        late = (
            self.every_seconds is not None
            and perf_counter() - self._saved_at >= self.every_seconds
            # Clocks differ, and all processes must save after the same batch.
            and not torch.distributed.is_initialized()
        )
        if due or late:
            self.save(self._epoch, batch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        run, self._run = self._run, None
        if not is_main_process():
            return
        # A writer that was killed leaves its unfinished file.
        for unfinished in self.backup_dir.glob(f".{NAME}.*.tmp"):
            unfinished.unlink(missing_ok=True)
        if self.delete_checkpoint and run is not None and run.is_finished:
            for path in (self.path, self.backup_dir / OLDER):
                path.unlink(missing_ok=True)
            if self.backup_dir.is_dir() and not any(self.backup_dir.iterdir()):
                self.backup_dir.rmdir()
