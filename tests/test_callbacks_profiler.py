import json

import pytest
import torch
from fake_fit import FakeModel

from kerasish.callbacks import CallbackList, Profiler


def _train(profiler, steps):
    hooks = CallbackList([profiler], model=FakeModel())
    hooks.on_train_begin()
    for batch in range(steps):
        hooks.on_train_batch_begin(batch)
        torch.ones(8, 8) @ torch.ones(8, 8)
        hooks.on_train_batch_end(batch)
    hooks.on_train_end()


def test_profile_counts_the_steps_asked_for(tmp_path, capsys):
    profiler = Profiler(tmp_path, start=2, steps=3)

    _train(profiler, 10)

    calls = {event.key: event.count for event in profiler.profile.key_averages()}
    assert calls["aten::mm"] == 3
    names = {
        event.get("name")
        for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    }
    assert "aten::mm" in names
    assert "Profiler: 3 steps measured; trace in" in capsys.readouterr().out


def test_training_that_ends_early_is_profiled_so_far(tmp_path):
    profiler = Profiler(None, start=1, steps=50, verbose=0)

    _train(profiler, 3)

    assert "aten::mm" in profiler.table()


def test_nothing_measured_is_said():
    profiler = Profiler(None, start=10, verbose=0)
    _train(profiler, 3)

    with pytest.raises(RuntimeError, match="more than 10 steps"):
        profiler.table()


def test_wrong_steps_are_errors():
    with pytest.raises(ValueError, match="`steps` at least 1, got 10"):
        Profiler(steps=0)
