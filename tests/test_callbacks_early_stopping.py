import math

import pytest
import torch
from fake_fit import FakeModel, fake_fit
from hypothesis import given
from hypothesis import strategies as st

from kerasish.callbacks import EarlyStopping


def _fit(values, **options):
    """Train on these values of val_loss; the weight of each epoch is its number from 1."""
    stopping = EarlyStopping(**options)
    model = fake_fit([stopping], [{"val_loss": value} for value in values])
    return stopping, model


def test_training_stops_after_patience_epochs_without_improvement():
    stopping, model = _fit([1.0, 0.8, 0.9, 0.85, 0.1], patience=2)

    assert model.weight == 4
    assert (stopping.stopped_epoch, stopping.best_epoch, stopping.best) == (3, 1, 0.8)


def test_best_weights_come_back_after_stopping():
    _, model = _fit([1.0, 0.8, 0.9, 0.85], patience=2, restore_best_weights=True)

    assert model.weight == 2


def test_best_weights_come_back_when_the_last_epoch_ends_training():
    _, model = _fit([1.0, 0.8, 0.9], patience=5, restore_best_weights=True)

    assert model.weight == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")], ids=repr)
def test_best_weights_come_back_when_training_is_interrupted(error):
    model = FakeModel()
    stopping = EarlyStopping(patience=5, restore_best_weights=True)

    with pytest.raises(type(error)):
        fake_fit([stopping], [{"val_loss": 0.8}, {"val_loss": 0.9}, error], model=model)
    assert model.weight == 1


def test_verbose_says_which_epoch(capsys):
    _fit([1.0, 0.8, 0.9], patience=1, restore_best_weights=True, verbose=1)

    assert capsys.readouterr().out == (
        "EarlyStopping: stopped after epoch 3, no better val_loss than 0.8 of epoch 2.\n"
        "EarlyStopping: weights of the best epoch, 2, restored.\n"
    )


def test_silent_by_default(capsys):
    _fit([1.0, 0.8, 0.9], patience=1, restore_best_weights=True)

    assert capsys.readouterr().out == ""


def test_small_changes_do_not_count():
    stopping, _ = _fit([1.0, 0.95, 0.8], min_delta=0.1, patience=5)

    assert (stopping.best, stopping.best_epoch) == (0.8, 2)


def test_first_epochs_are_passed_over():
    stopping, model = _fit([0.1, 0.2, 1.0, 0.9], start_from_epoch=2, restore_best_weights=True)

    assert stopping.best == 0.9
    assert model.weight == 4


def test_baseline_must_be_beaten_in_time():
    stopping, model = _fit([1.0, 0.9, 0.95], baseline=0.5, patience=2)

    assert model.stop_training
    assert stopping.stopped_epoch == 2


def test_a_nan_is_never_better():
    stopping, model = _fit([math.nan, 0.5, math.nan], patience=2, restore_best_weights=True)

    assert stopping.best == 0.5
    assert model.weight == 2


def test_a_second_fit_starts_anew():
    stopping, _ = _fit([0.1, 0.2], patience=1)
    model = fake_fit([stopping], [{"val_loss": 5.0}, {"val_loss": 4.0}])

    assert stopping.best == 4.0
    assert not model.stop_training


def test_larger_is_better_for_accuracy():
    stopping = EarlyStopping("accuracy", patience=1)
    fake_fit([stopping], [{"accuracy": 0.5}, {"accuracy": 0.6}, {"accuracy": 0.6}])

    assert (stopping.best, stopping.stopped_epoch) == (0.6, 2)


@given(
    values=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=8),
    patience=st.integers(0, 3),
    min_delta=st.sampled_from([0, 0.15]),
    baseline=st.sampled_from([None, 0.25]),
    start=st.integers(0, 2),
)
def test_stops_where_keras_stops(values, patience, min_delta, baseline, start):
    keras = pytest.importorskip("keras")
    options = {"patience": patience, "min_delta": min_delta, "baseline": baseline}
    options |= {"start_from_epoch": start, "restore_best_weights": True, "mode": "min"}

    class KerasModel:
        stop_training = False
        weights = 0

        def get_weights(self):
            return [self.weights]

        def set_weights(self, weights):
            (self.weights,) = weights

    theirs, model = keras.callbacks.EarlyStopping(**options), KerasModel()
    theirs.set_model(model)
    theirs.on_train_begin()
    for epoch, value in enumerate(values):
        model.weights = epoch + 1
        theirs.on_epoch_end(epoch, {"val_loss": value})
        if model.stop_training:
            break
    theirs.on_train_end()

    ours, our_model = _fit(values, **options)

    assert ours.stopped_epoch == theirs.stopped_epoch
    assert ours.best == theirs.best
    assert our_model.weight == model.weights


def test_snapshot_is_a_copy_on_the_cpu_and_reuses_its_memory():
    from kerasish.callbacks.weights import restore, snapshot

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    before = model[0].weight.detach().clone()
    first = snapshot(model)
    memory = first["0.weight"].data_ptr()
    with torch.no_grad():
        model[0].weight.zero_()

    restore(model, first)
    second = snapshot(model, into=first)

    assert torch.equal(model[0].weight, before)
    assert second["0.weight"].data_ptr() == memory
    assert second["1.num_batches_tracked"].dtype == torch.int64


def test_weights_of_the_first_epoch_come_back_when_all_values_are_nan():
    _, model = _fit([math.nan] * 3, patience=9, restore_best_weights=True)

    assert model.weight == 1


def test_training_never_stops_after_its_first_epoch():
    stopping, _ = _fit([math.nan, math.nan, 0.5], patience=0)

    assert stopping.stopped_epoch == 1
