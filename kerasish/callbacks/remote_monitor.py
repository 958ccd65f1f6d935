"""RemoteMonitor: sends the logs of each epoch to a web server."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Mapping
from typing import Any

from kerasish.callbacks.base import Callback, is_main_process
from kerasish.callbacks.json_logger import _plain


class RemoteMonitor(Callback):
    """Posts the logs of each epoch, with `epoch` (from 0), to a web server.

    A server that does not answer gives a warning and training goes on.

    Args:
        root: Address of the server.
        path: Path on the server.
        field: Form field that holds the JSON text, unless `send_as_json`.
        headers: Further HTTP headers.
        send_as_json: Whether to post JSON itself instead of a form.

    Raises:
        ValueError: If `root` is not an HTTP address.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        if not root.startswith(("http://", "https://")):
            raise ValueError(
                f"RemoteMonitor: `root` must begin with http:// or https://, got {root!r}."
            )
        self.root = root
        self.path = path
        self.field = field
        self.headers = dict(headers or {})
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not is_main_process():
            return
        row = {"epoch": epoch, **{name: _plain(value) for name, value in (logs or {}).items()}}
        body = text = json.dumps(row)
        kind = "application/json"
        if not self.send_as_json:
            body = urllib.parse.urlencode({self.field: text})
            kind = "application/x-www-form-urlencoded"
        request = urllib.request.Request(
            self.root + self.path, body.encode(), {"Content-Type": kind, **self.headers}
        )
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except OSError as error:
            warnings.warn(
                f"RemoteMonitor: {self.root} did not take epoch {epoch}: {error}", stacklevel=2
            )
