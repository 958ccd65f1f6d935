"""Outputs of batches leave a device together, and soon enough."""

import pytest
import torch

from kerasish.training import outputs
from kerasish.training.outputs import Outputs
from tests import fake_cuda
from tests.fake_cuda import Watch


@pytest.fixture
def mode(monkeypatch):
    return fake_cuda.start(monkeypatch)


def on_gpu(rows):
    return torch.empty(rows, 4, device="cuda")


def parts(value):
    return value.values() if isinstance(value, dict) else [value]


@pytest.mark.parametrize("of", [lambda y: y, lambda y: {"a": y, "b": y}], ids=["one", "several"])
def test_batches_leave_a_device_together(mode, monkeypatch, of):
    monkeypatch.setattr(outputs, "_WAITING_BYTES", 7 * 4 * 16)
    gathered, waits = Outputs(), []
    with mode:
        for _ in range(16):
            with Watch() as watch:
                gathered.add(of(on_gpu(4)))
            waits.append(len(watch.waits))
        joined = gathered.joined()

    count = len(parts(of(0)))
    assert gathered.count == 16
    # Of one output each seventh batch, of two each fourth: seven tensors or eight are there.
    assert [bool(n) for n in waits] == [n % (7 if count == 1 else 4) == 0 for n in range(1, 17)]
    assert sum(waits) == count * (2 if count == 1 else 4)
    for part in parts(joined):
        assert part.shape == (64, 4)
        assert part.device.type == "cpu"


def test_outputs_keep_their_order():
    gathered = Outputs()
    batches = torch.arange(12.0).reshape(4, 3, 1)

    for batch in batches:
        gathered.add({"y": batch, "z": -batch})

    assert gathered.joined()["y"].flatten().tolist() == list(range(12))
    assert gathered.joined()["z"].flatten().tolist() == [-n for n in range(12)]
