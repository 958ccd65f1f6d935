from types import SimpleNamespace

import pytest
from fake_fit import FakeModel, fake_fit

from kerasish.callbacks import Callback, EarlyStopping
from kerasish.callbacks.monitor import direction_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", "down"),
        ("val_loss", "down"),
        ("head_loss", "down"),
        ("val_accuracy", "up"),
        ("sparse_top_k_categorical_accuracy", "up"),
        ("acc", "up"),
        ("auc", "up"),
        ("mean_io_u", "up"),
        ("mean_absolute_error", "down"),
        ("val_mae", "down"),
        ("binary_crossentropy", "down"),
        ("cosine_similarity", "up"),
        ("false_positives", "down"),
        ("true_positives", "up"),
        ("wobble", None),
    ],
)
def test_direction_is_read_from_the_name(name, expected):
    assert direction_of(name) == expected


def test_direction_of_a_metric_object_comes_first():
    metrics = [
        SimpleNamespace(name="wobble", direction="down"),
        SimpleNamespace(name="accuracy", direction=None),
        SimpleNamespace(name="loss", direction="up"),
    ]

    assert direction_of("val_wobble", metrics) == "down"
    assert direction_of("head_wobble", metrics) == "down"
    assert direction_of("accuracy", metrics) == "up"
    assert direction_of("loss", metrics) == "up"


def test_unknown_monitor_is_an_error_before_the_first_epoch():
    model = FakeModel()

    with pytest.raises(
        ValueError, match=r"EarlyStopping: nothing is logged as 'val_acuracy'; did you"
    ):
        fake_fit([EarlyStopping("val_acuracy")], [{"loss": 1.0, "val_accuracy": 0.5}], model=model)
    assert model.weight == 0


def test_missing_validation_data_is_said():
    with pytest.raises(ValueError, match=r"Names: loss\. There is no validation data"):
        fake_fit([EarlyStopping()], [{"loss": 1.0}])


def test_a_name_without_direction_asks_for_mode():
    with pytest.raises(ValueError, match=r"bigger or a smaller 'wobble' better.*pass mode=\"max\""):
        fake_fit([EarlyStopping("wobble")], [{"wobble": 1.0}])
    fake_fit([EarlyStopping("wobble", mode="max")], [{"wobble": 1.0}])


def test_wrong_mode_is_an_error():
    with pytest.raises(ValueError, match='`mode` must be "auto", "min" or "max", got \'up\''):
        EarlyStopping(mode="up")


def test_a_number_added_by_another_callback_may_be_monitored():
    class AddF1(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_f1"] = [0.5, 0.4][epoch]

    stopping = EarlyStopping("val_f1", patience=1)
    params = {"epochs": 2, "steps": 1, "metrics": ["loss"]}

    model = fake_fit([AddF1(), stopping], [{"loss": 1.0}, {"loss": 1.0}], params=params)

    assert stopping.best == 0.5
    assert model.stop_training


def test_a_number_that_nobody_added_warns():
    class Other(Callback):
        def on_epoch_end(self, epoch, logs=None): ...

    with pytest.warns(UserWarning, match="EarlyStopping: the logs hold no 'val_f1'"):
        fake_fit([Other(), EarlyStopping("val_f1")], [{"loss": 1.0}])


def test_epochs_without_validation_are_passed_over():
    stopping = EarlyStopping(patience=1)

    model = fake_fit([stopping], [{"val_loss": 1.0}, {"loss": 1.0}, {"val_loss": 0.9}])

    assert not model.stop_training
    assert stopping.best_epoch == 2


def test_the_longest_name_decides():
    metrics = [
        SimpleNamespace(name="score", direction="down"),
        SimpleNamespace(name="mean_score", direction="up"),
    ]

    assert direction_of("val_mean_score", metrics) == "up"
