import contextlib
import math

import pytest
import torch
from fake_fit import fake_fit

import kerasish
from kerasish.callbacks import Callback, History

LOGS = [{"loss": 0.5}, {"loss": 0.4, "val_loss": 0.6}, {"loss": 0.3}]


@pytest.fixture
def history():
    history = History()
    fake_fit([history], LOGS)
    return history


def test_history_keeps_what_was_logged(history):
    assert history.history == {"loss": [0.5, 0.4, 0.3], "val_loss": [0.6]}
    assert history.epoch == [0, 1, 2]
    assert history.epochs_of("val_loss") == [1]
    assert history.model.history is history
    assert repr(history) == "<History of 3 epochs: loss 0.3, val_loss 0.6>"


def test_frame_has_a_row_per_epoch(history):
    pytest.importorskip("pandas")

    frame = history.to_frame()

    assert frame.index.tolist() == [0, 1, 2]
    assert frame["loss"].tolist() == [0.5, 0.4, 0.3]
    assert [math.isnan(value) for value in frame["val_loss"]] == [True, False, True]


def test_plot_draws_training_and_validation(history):
    pytest.importorskip("matplotlib")

    figure = history.plot()

    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["training", "validation"]
    assert lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.4], [3, 0.3]]
    assert lines[1].get_xydata().tolist() == [[2, 0.6]]


def test_plot_of_an_unknown_name_lists_what_there_is(history):
    pytest.importorskip("matplotlib")

    with pytest.raises(ValueError, match="nothing logged under accuracy; there is: loss"):
        history.plot(["accuracy"])
    with pytest.raises(ValueError, match="train first"):
        History().plot()


def test_a_history_used_again_plots_its_last_run(history):
    pytest.importorskip("matplotlib")

    fake_fit([history], [{"loss": 0.2}])

    assert history.history["loss"] == [0.5, 0.4, 0.3, 0.2]
    assert history.to_frame()["loss"].tolist() == [0.2]
    assert history.plot(["loss"]).axes[0].get_lines()[0].get_xydata().tolist() == [[1, 0.2]]


@pytest.mark.parametrize("error", [RuntimeError("disk full"), KeyboardInterrupt()], ids=repr)
def test_an_epoch_that_was_trained_is_kept_when_a_callback_fails_at_its_end(error):
    class Failing(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise error

    model = kerasish.Sequential([kerasish.Input((2,)), kerasish.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = torch.randn(20, 2)

    with contextlib.suppress(RuntimeError, KeyboardInterrupt):
        model.fit(x, x[:, :1], epochs=5, verbose=0, callbacks=[Failing()])

    assert model.history.epoch == [0, 1, 2]
    assert len(model.history.history["loss"]) == 3
