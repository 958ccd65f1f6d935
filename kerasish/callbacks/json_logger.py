"""JSONLogger: writes the logs of each epoch as a line of JSON."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import IO, Any

from kerasish.callbacks.base import Callback, is_main_process
from kerasish.callbacks.csv_logger import cut_off


class JSONLogger(Callback):
    """Writes a line an epoch: `epoch` (from 0), `seconds` since the start, and the logs.

    `pandas.read_json(path, lines=True)` reads it. NaN and infinities are `null`, as JSON has no
    word for them.

    Args:
        filename: Where to write.
        append: Whether to go on at the end of an existing file instead of beginning anew.
    """

    def __init__(self, filename: str | os.PathLike[str], *, append: bool = False) -> None:
        self.filename = os.fspath(filename)
        self.append = append
        self._file: IO[str] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.on_train_end()
        self._began = time.perf_counter()
        if is_main_process():
            path = Path(self.filename)
            path.parent.mkdir(parents=True, exist_ok=True)
            goes_on = self.append or self.params.get("is_resumed", False)
            self._file = path.open("a" if goes_on else "w", encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        return {"length": None if self._file is None else self._file.tell()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # Epochs that were logged after the state was saved come again.
        if self._file is not None and state["length"] is not None:
            cut_off(self._file, state["length"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._file is None:
            return
        seconds = round(time.perf_counter() - self._began, 3)
        row = {"epoch": epoch, "seconds": seconds, **(logs or {})}
        plain = {name: _plain(value) for name, value in row.items()}
        self._file.write(json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


def _plain(value: Any) -> Any:
    """The value in JSON's own types: arrays and tensors become numbers or lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
