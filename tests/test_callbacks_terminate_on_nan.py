import math

import pytest
from fake_fit import fake_fit

from kerasish.callbacks import TerminateOnNaN, terminate_on_nan


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminate_on_nan, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_training_ends_when_the_loss_is_no_number(loss, clock, capsys):
    def losses(epoch, batch):
        clock[0] += 1
        return {"loss": [1.0, loss][batch]}

    model = fake_fit([TerminateOnNaN()], [{"loss": loss}] * 2, batch_logs=losses)

    assert model.stop_training
    assert model.weight == 1
    out = capsys.readouterr().out
    assert out == f"TerminateOnNaN: the loss is {loss} by batch 2; training ends.\n"


def test_short_epochs_are_looked_at_when_they_end(clock, capsys):
    model = fake_fit([TerminateOnNaN()], [{"loss": 1.0}, {"loss": math.nan}, {"loss": 1.0}])

    assert model.weight == 2
    assert "the loss is nan by the end of epoch 2; training ends." in capsys.readouterr().out


def test_the_loss_is_read_ten_times_a_second(clock):
    reads = []

    class Logs(dict):
        def get(self, name, default=None):
            reads.append(name)
            return 1.0

    def logs(epoch, batch):
        clock[0] += 0.011
        return Logs()

    fake_fit([TerminateOnNaN()], [{"loss": 1.0}], steps=100, batch_logs=logs)

    assert len(reads) == 10


def test_a_loss_that_is_no_number_raises_when_asked():
    with pytest.raises(RuntimeError, match=r"the loss is nan by batch 1\. Try a smaller"):
        fake_fit(
            [TerminateOnNaN(raise_error=True)],
            [{"loss": 1.0}],
            batch_logs=lambda *_: {"loss": math.nan},
        )


def test_a_run_without_a_loss_goes_on():
    assert not fake_fit([TerminateOnNaN()], [{"score": 1.0}]).stop_training
