import datetime

import pytest
from fake_fit import fake_fit

from kerasish.callbacks import CallbackList, LambdaCallback, TimeBudget, time_budget


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time_budget, "perf_counter", lambda: now[0])
    return now


def _tick(clock, seconds):
    def tick(batch, logs):
        clock[0] += seconds

    return LambdaCallback(on_train_batch_end=tick)


def test_training_ends_with_the_batch_that_spends_the_time(clock, capsys):
    batches = []
    count = LambdaCallback(on_train_batch_begin=lambda batch, logs: batches.append(batch))

    fake_fit([count, _tick(clock, 10), TimeBudget(25)], [{"loss": 1.0}] * 5, steps=2)

    assert batches == [0, 1, 0]
    assert capsys.readouterr().out == "TimeBudget: training ends after 30s of 25s.\n"


def test_whole_epochs_end_before_one_that_would_not_fit(clock):
    model = fake_fit(
        [_tick(clock, 10), TimeBudget(75, whole_epochs=True)], [{"loss": 1.0}] * 9, steps=2
    )

    assert model.weight == 3


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [
        (90, 90),
        ("1h30m", 5400),
        ("1.5 h", 5400),
        ("45s", 45),
        ("1d", 86400),
        (datetime.timedelta(minutes=2), 120),
    ],
)
def test_budgets_are_understood(budget, seconds):
    assert TimeBudget(budget).seconds == seconds


@pytest.mark.parametrize("budget", [0, -1, "soon", "", True, None])
def test_wrong_budgets_are_errors(budget):
    with pytest.raises(ValueError, match="`budget` must be seconds"):
        TimeBudget(budget)


def test_batches_are_watched_only_when_needed():
    assert CallbackList(TimeBudget(1)).overrides("on_train_batch_end")
    assert not CallbackList(TimeBudget(1, whole_epochs=True)).overrides("on_train_batch_end")
