from types import SimpleNamespace

import pytest
from fake_fit import FakeModel, fake_fit
from hypothesis import given
from hypothesis import strategies as st

from kerasish import optimizers, schedules
from kerasish.callbacks import Callback, LearningRateScheduler, ReduceLROnPlateau


class Rates(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(self.model.optimizer.learning_rate)


def _reduce(values, **options):
    model, rates = FakeModel(learning_rate=1.0), Rates()
    callback = ReduceLROnPlateau(**options)
    fake_fit([callback, rates], [{"val_loss": v} for v in values], model=model, steps=1)
    return rates.seen


def test_rate_falls_after_patience_epochs():
    assert _reduce([1.0, 0.9, 0.95, 0.95, 0.95], patience=2, factor=0.5) == [1, 1, 1, 1, 0.5]


def test_rate_stays_above_min_lr():
    assert _reduce([1.0] * 6, patience=1, factor=0.1, min_lr=0.05) == [1, 1, 0.1, 0.05, 0.05, 0.05]


def test_rate_used_is_in_the_logs():
    model = FakeModel(learning_rate=1.0)
    fake_fit(
        [ReduceLROnPlateau("loss", patience=1, factor=0.5)],
        [{"loss": 1.0}] * 3,
        model=model,
        add_history=True,
    )

    assert model.history.history["learning_rate"] == [1.0, 1.0, 0.5]


def test_lowering_is_said(capsys):
    _reduce([1.0, 1.0], patience=1, verbose=1)

    assert capsys.readouterr().out == (
        "ReduceLROnPlateau: learning_rate 1 -> 0.1 after epoch 2, no better val_loss than 1.\n"
    )


@given(
    values=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=10),
    patience=st.integers(1, 3),
    cooldown=st.integers(0, 3),
    min_delta=st.sampled_from([0, 0.15]),
)
def test_rates_are_those_of_keras(values, patience, cooldown, min_delta):
    keras = pytest.importorskip("keras")
    options = {"patience": patience, "cooldown": cooldown, "min_delta": min_delta, "factor": 0.5}
    theirs = keras.callbacks.ReduceLROnPlateau(mode="min", **options)
    theirs.set_model(SimpleNamespace(optimizer=SimpleNamespace(learning_rate=1.0)))
    theirs.on_train_begin()
    expected = []
    for epoch, value in enumerate(values):
        expected.append(theirs.model.optimizer.learning_rate)
        theirs.on_epoch_end(epoch, {"val_loss": value})

    assert _reduce(values, mode="min", **options) == expected


def test_wrong_factor_is_an_error():
    with pytest.raises(ValueError, match=r"`factor` must be from 0 to below 1, got 1\.5"):
        ReduceLROnPlateau(factor=1.5)


@pytest.mark.parametrize(
    "callback",
    [ReduceLROnPlateau("loss"), LearningRateScheduler(lambda epoch: 0.1)],
    ids=["plateau", "scheduler"],
)
def test_a_schedule_and_a_callback_are_an_error(callback):
    model = FakeModel()
    model.optimizer = optimizers.SGD(schedules.ExponentialDecay(0.1, 10, 0.9))

    with pytest.raises(ValueError, match="the learning rate follows ExponentialDecay already"):
        fake_fit([callback], [{"loss": 1.0}], model=model)


def test_several_optimizers_are_named_in_the_logs():
    model = FakeModel()
    parts = [SimpleNamespace(name=name, learning_rate=1.0) for name in ("body", "head")]
    model.optimizer = SimpleNamespace(optimizers=parts)

    fake_fit(
        [LearningRateScheduler(lambda epoch, rate: rate / 2)],
        [{"loss": 1.0}],
        model=model,
        add_history=True,
    )

    assert model.history.history["learning_rate_head"] == [0.5]


def test_scheduler_sets_the_rate_of_each_epoch(capsys):
    model, rates = FakeModel(learning_rate=0.8), Rates()
    scheduler = LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1)

    fake_fit([scheduler, rates], [{"loss": 1.0}] * 2, model=model, steps=1)

    assert rates.seen == [0.4, 0.2]
    assert capsys.readouterr().out.splitlines()[1] == (
        "LearningRateScheduler: learning_rate 0.2 in epoch 2."
    )


def test_scheduler_takes_a_function_of_the_epoch_alone():
    rates = Rates()

    fake_fit([LearningRateScheduler([0.3, 0.2].__getitem__), rates], [{"loss": 1.0}] * 2, steps=1)

    assert rates.seen == [0.3, 0.2]


def test_an_error_inside_the_schedule_is_not_hidden():
    def schedule(epoch, rate):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        fake_fit([LearningRateScheduler(schedule)], [{"loss": 1.0}])


def test_scheduler_wants_a_number():
    with pytest.raises(TypeError, match="must return a number, got None for epoch 0"):
        fake_fit([LearningRateScheduler(lambda epoch: None)], [{"loss": 1.0}])


def test_no_optimizer_is_said():
    model = FakeModel()
    model.optimizer = None

    with pytest.raises(ValueError, match="compile it first"):
        fake_fit([LearningRateScheduler(lambda epoch: 0.1)], [{"loss": 1.0}], model=model)
