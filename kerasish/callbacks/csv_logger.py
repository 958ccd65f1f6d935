"""CSVLogger: writes the logs of each epoch to a table that any program reads."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from kerasish.callbacks.base import Callback, is_main_process


class CSVLogger(Callback):
    """Writes a row an epoch: `epoch` (from 0), then the names of the logs in alphabetical order.

    A name that an epoch does not log is `NA`. Rows are on disk as soon as the epoch is over.

    Args:
        filename: Where to write.
        separator: Between the columns.
        append: Whether to go on at the end of an existing file, in its columns, instead of
            beginning anew.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._file: IO[str] | None = None
        self._writer: csv.DictWriter | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._close()
        if not is_main_process():
            return
        path = Path(self.filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        goes_on = self.append or self.params.get("is_resumed", False)
        self._columns = self._existing_columns(path) if goes_on else []
        self._file = path.open("a" if goes_on else "w", newline="", encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        return {"length": None if self._file is None else self._file.tell()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # Epochs that were logged after the state was saved come again.
        if self._file is not None and state["length"] is not None:
            cut_off(self._file, state["length"])
            if not state["length"]:
                self._columns = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._file is None:
            return
        if self._writer is None:
            self._begin_table(logs or {})
        row = {name: _cell(value) for name, value in (logs or {}).items()}
        assert self._writer is not None
        self._writer.writerow({**row, "epoch": epoch})
        self._file.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._close()

    def _begin_table(self, logs: dict[str, Any]) -> None:
        # Validation may run in some epochs only, so the first epoch's names are not enough.
        known = sorted({*logs, *self.params.get("metrics", ())} - {"epoch"})
        columns = self._columns or ["epoch", *known]
        assert self._file is not None
        self._writer = csv.DictWriter(
            self._file, columns, restval="NA", extrasaction="ignore", delimiter=self.separator
        )
        if not self._columns:
            self._writer.writeheader()

    def _existing_columns(self, path: Path) -> list[str]:
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file, delimiter=self.separator), [])

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None


def cut_off(file: IO[str], length: int) -> None:
    """Shorten a file that is open for appending, if it is longer."""
    file.flush()
    if Path(file.name).stat().st_size > length:
        file.truncate(length)
        file.seek(0, os.SEEK_END)


def _cell(value: Any) -> Any:
    if isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1):
        return f'"[{", ".join(map(str, value))}]"'
    return value
