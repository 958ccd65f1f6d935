"""Where the time of training went, and what is said about it."""

import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import kerasish
from kerasish import layers
from kerasish.callbacks import Callback, History
from kerasish.training import timings
from kerasish.training.timings import PARTS, Timings, advise


class SlowRows(Dataset):
    def __init__(self, rows=64, seconds=0.005):
        self.rows, self.seconds = rows, seconds

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return torch.ones(4), torch.zeros(1)


class Sleepy(Callback):
    def __init__(self, seconds):
        self.seconds = seconds

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(self.seconds)


@pytest.fixture
def soon_judged(monkeypatch):
    monkeypatch.setattr(timings, "_TOO_SHORT_TO_JUDGE", 0.3)


def compiled(units=1, features=4, hidden=()):
    stack = [layers.Dense(n, activation="relu") for n in hidden]
    model = kerasish.Sequential([layers.Input((features,)), *stack, layers.Dense(units)])
    model.compile("sgd", "mse")
    return model


def shares(history):
    totals = {part: sum(values) for part, values in history.seconds.items()}
    return {part: value / sum(totals.values()) for part, value in totals.items()}


@pytest.mark.filterwarnings("ignore:K123")
def test_a_dataset_that_sleeps_is_reported_as_waiting_for_data(capsys, soon_judged):
    history = compiled().fit(SlowRows(), batch_size=16, epochs=2, verbose=0)

    assert shares(history)["data"] > 0.8
    assert history.advice.startswith("Training waited for data ")
    assert "pass DataLoader(dataset, batch_size, shuffle=True, num_workers=" in history.advice
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore:K123")
def test_the_advice_is_said_when_fit_is_not_silent(capsys, soon_judged):
    history = compiled().fit(DataLoader(SlowRows(160), batch_size=32), verbose=2)

    assert "give the DataLoader num_workers=" in history.advice
    assert history.advice in capsys.readouterr().out


def test_a_model_that_computes_gets_no_advice(soon_judged):
    x = torch.randn(2048, 1024)
    history = compiled(1, 1024, hidden=(1024, 1024)).fit(x, x[:, :1], 256, epochs=6, verbose=0)

    assert shares(history)["step"] > 0.7
    assert history.advice is None


def test_callbacks_that_take_the_time_are_named(soon_judged):
    x = torch.randn(64, 4)
    history = compiled().fit(x, x[:, :1], 1, callbacks=[Sleepy(0.01)], verbose=0)

    assert shares(history)["callbacks"] > 0.8
    assert history.advice.startswith("Callbacks took ")


def test_seconds_have_an_entry_an_epoch_and_include_validation():
    x = torch.randn(64, 4)
    data = (x, x[:, :1])
    history = compiled().fit(*data, 8, epochs=3, validation_data=data, verbose=0)

    assert list(history.seconds) == list(PARTS)
    assert all(len(values) == 3 for values in history.seconds.values())
    assert all(value >= 0 for values in history.seconds.values() for value in values)
    assert min(history.seconds["validation"]) > 0


def test_seconds_start_again_with_each_fit():
    x = torch.randn(8, 4)
    model, history = compiled(), History()
    model.fit(x, x[:, :1], epochs=2, callbacks=[history], verbose=0)
    model.fit(x, x[:, :1], epochs=1, callbacks=[history], verbose=0)

    assert len(history.seconds["step"]) == 1


def test_a_train_step_of_ones_own_is_timed_too():
    class Own(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            time.sleep(0.02)
            return super().train_step(data)

    model = Own()
    model.compile("sgd", "mse")
    x = torch.randn(64, 4)
    history = model.fit(x, x[:, :1], 16, verbose=0)

    assert history.seconds["step"][0] >= 0.08


@pytest.mark.parametrize(
    ("seconds", "begin"),
    [
        ({"data": 4.0, "step": 1.0}, "Training waited for data 80% of the time"),
        ({"data": 3.0, "step": 7.0}, None),
        ({"metrics": 6.0, "step": 4.0}, "Metrics took 60% of the time"),
        ({"validation": 3.0, "step": 1.0}, "Validation took 75% of the time"),
        ({"validation": 5.0, "data": 4.5, "step": 0.5}, "Training waited for data 45%"),
        ({"data": 0.04, "step": 0.01}, None),
        ({"callbacks": 1.4, "step": 1.5}, None),
    ],
    ids=[
        "data",
        "little data",
        "metrics",
        "validation",
        "data first",
        "too short to judge",
        "short",
    ],
)
def test_only_a_part_that_costs_more_than_it_should_gets_a_sentence(seconds, begin):
    advice = advise({part: [value] for part, value in seconds.items()}, [])

    assert advice is None if begin is None else advice.startswith(begin)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_loader_with_workers_is_told_to_take_more():
    loader = DataLoader(SlowRows(), num_workers=3)

    assert "more than its 3 workers" in advise({"data": [9.0], "step": [1.0]}, loader)


def test_time_within_a_block_is_counted_even_if_it_raises():
    timings = Timings()

    def fail():
        time.sleep(0.01)
        raise KeyError("x")

    with pytest.raises(KeyError):
        timings.timed("metrics", fail)()

    assert timings.metrics >= 0.01
