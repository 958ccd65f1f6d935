import json
import math
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import numpy as np
import pytest
import torch
from fake_fit import fake_fit

from kerasish.callbacks import JSONLogger, RemoteMonitor


def test_json_logger_writes_an_object_per_epoch(tmp_path):
    path = tmp_path / "runs" / "log.jsonl"

    fake_fit(
        [JSONLogger(path)],
        [{"loss": 0.5, "a": np.float32(2), "b": torch.ones(2)}, {"loss": math.nan}],
    )

    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert first.pop("seconds") >= 0
    assert first == {"epoch": 0, "loss": 0.5, "a": 2.0, "b": [1.0, 1.0]}
    assert second["loss"] is None


def test_json_logger_appends_when_asked(tmp_path):
    path = tmp_path / "log.jsonl"
    for append in (False, True, True):
        fake_fit([JSONLogger(path, append=append)], [{"loss": 0.5}])

    assert len(path.read_text().splitlines()) == 3
    fake_fit([JSONLogger(path)], [{"loss": 0.5}])
    assert len(path.read_text().splitlines()) == 1


@pytest.fixture
def server():
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            got.append((self.path, dict(self.headers), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args): ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


def test_remote_monitor_posts_a_form(server):
    root, got = server

    fake_fit([RemoteMonitor(root, headers={"X-Run": "7"})], [{"loss": np.float32(0.5)}])

    path, headers, body = got[0]
    assert path == "/publish/epoch/end/"
    assert headers["X-Run"] == "7"
    assert json.loads(parse_qs(body)["data"][0]) == {"epoch": 0, "loss": 0.5}


def test_remote_monitor_posts_json(server):
    root, got = server

    fake_fit([RemoteMonitor(root, path="/logs", send_as_json=True)], [{"loss": 0.5}])

    assert got[0][0] == "/logs"
    assert got[0][1]["Content-Type"] == "application/json"
    assert json.loads(got[0][2]) == {"epoch": 0, "loss": 0.5}


def test_remote_monitor_warns_when_nobody_answers():
    with pytest.warns(UserWarning, match="RemoteMonitor: http://127.0.0.1:1 did not take epoch 0"):
        fake_fit([RemoteMonitor("http://127.0.0.1:1")], [{"loss": 0.5}])


def test_remote_monitor_takes_web_addresses_only():
    with pytest.raises(ValueError, match="must begin with http"):
        RemoteMonitor("file:///etc")
