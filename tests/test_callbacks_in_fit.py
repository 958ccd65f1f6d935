"""Every callback with the real engine."""

import csv
import re

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import callbacks, layers, optimizers


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((96, 4)).astype("float32")
    return x, (x.sum(1) > 0).astype("int64")


def _model(optimizer=None, hidden=8, *inner):
    model = kerasish.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(hidden, "relu", name="hidden"),
            *inner,
            layers.Dense(2, name="scores"),
        ]
    )
    model.compile(
        optimizer or optimizers.SGD(0.1),
        loss=kerasish.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def _fit(model, data, *given, **options):
    x, y = data
    options = {"epochs": 3, "verbose": 0, "batch_size": 32, "validation_split": 0.25, **options}
    return model.fit(x, y, callbacks=list(given), **options)


def test_lines_of_fit_evaluate_and_predict(data, capsys):
    model = _model()

    _fit(model, data, verbose=2)
    model.evaluate(*data, verbose=2)
    model.predict(data[0], verbose=2)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    number = r"[0-9.e+-]+"
    assert re.fullmatch(
        rf"Epoch 1/3  \S+ \S+/step  loss {number}  accuracy {number}  val_loss {number}"
        rf"  val_accuracy {number}",
        lines[0],
    )
    assert re.fullmatch(
        rf"Evaluate  3 steps  \S+ \S+/step  loss {number}  accuracy {number}", lines[3]
    )
    assert re.fullmatch(r"Predict  3 steps  \S+ \S+/step", lines[4])


def test_checkpoints_can_be_loaded(data, tmp_path):
    model = _model()
    best = callbacks.ModelCheckpoint(tmp_path / "best.kerasish", save_best_only=True)
    weights = callbacks.ModelCheckpoint(
        tmp_path / "{epoch:02d}-{val_loss:.2f}.safetensors", save_weights_only=True, max_to_keep=2
    )

    _fit(model, data, best, weights, epochs=4)

    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    loaded = kerasish.load_model(best.last_path)
    assert loaded.evaluate(*data, verbose=0)[0] <= model.evaluate(*data, verbose=0)[0] + 0.1
    twin = _model()
    twin.load_weights(weights.last_path)
    assert_close(twin.predict(data[0], verbose=0), model.predict(data[0], verbose=0))


def test_checkpoints_every_few_batches(data, tmp_path):
    _fit(
        _model(),
        data,
        callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}-{loss:.1f}.kerasish", save_freq=4),
        epochs=2,
    )

    assert [path.name[:4] for path in tmp_path.iterdir()] == ["2-1-"]


def test_best_weights_come_back_after_an_interrupt(data):
    model = _model(optimizers.SGD(0.5))
    kept = {}

    def watch(epoch, logs):
        if epoch == 0:
            kept.update({k: v.clone() for k, v in model.state_dict().items()})
        if epoch == 2:
            raise KeyboardInterrupt

    stopping = callbacks.EarlyStopping("step", mode="min", patience=9, restore_best_weights=True)

    class AddStep(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["step"] = epoch

    with pytest.raises(KeyboardInterrupt):
        _fit(model, data, AddStep(), stopping, callbacks.LambdaCallback(on_epoch_end=watch))
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_unknown_monitor_changes_nothing(data):
    model = _model()
    before = model.get_weights()

    with pytest.raises(ValueError, match="did you mean 'val_accuracy'"):
        _fit(model, data, callbacks.EarlyStopping("val_acuracy"))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_direction_of_the_models_own_metric_is_known(data):
    stopping = callbacks.EarlyStopping("val_accuracy", patience=1)

    _fit(_model(), data, stopping, epochs=2)

    assert stopping.is_improvement(0.9, 0.8)


def test_rates_follow_the_callbacks(data):
    model = _model()
    halving = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    plateau = callbacks.ReduceLROnPlateau(min_delta=1e9, patience=1, factor=0.1)

    history = _fit(model, data, halving)
    second = _fit(model, data, plateau)

    assert history.history["learning_rate"] == pytest.approx([0.05, 0.025, 0.0125])
    assert second.history["learning_rate"] == pytest.approx([0.0125, 0.0125, 0.00125])


def test_csv_has_the_numbers_of_the_history(data, tmp_path):
    history = _fit(_model(), data, callbacks.CSVLogger(tmp_path / "log.csv"), validation_freq=2)

    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == history.history["loss"]
    assert [row["val_loss"] for row in rows] == ["NA", str(history.history["val_loss"][0]), "NA"]


def test_validation_sees_the_moving_averages(data):
    plain = _model(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9))
    plain_start = plain.get_weights()
    swapped = _model(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9))
    swapped.set_weights(plain_start)
    options = {"validation_split": 0.0, "validation_data": data, "shuffle": False}

    first = _fit(plain, data, **options)
    second = _fit(swapped, data, callbacks.SwapEMAWeights(), **options)

    assert first.history["loss"] == second.history["loss"]
    assert first.history["val_loss"] != second.history["val_loss"]


def test_training_ends_with_the_mean_of_weights(data):
    model = _model(None, 8, layers.BatchNormalization())
    seen = []
    watch = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_layer("scores").get_weights()[0])
    )

    _fit(model, data, watch, callbacks.StochasticWeightAveraging(1, batch_norm_data=data[0]))

    assert_close(model.get_layer("scores").get_weights()[0], (seen[1] + seen[2]) / 2)


def test_rate_finder_leaves_the_model_as_it_was(data):
    model = _model(optimizers.Adam(0.01))
    before = model.get_weights()
    finder = callbacks.LearningRateFinder(1e-5, 10.0, 40, verbose=0)

    _fit(model, data, finder, epochs=20)

    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert model.optimizer.learning_rate == 0.01
    assert model.optimizer.iterations == 0
    assert 1e-4 < finder.suggestion() < 2.0
    assert _fit(model, data).history["loss"][-1] < 0.7


def test_gradient_monitor_sees_gradients_vanish_in_a_deep_sigmoid_network(data):
    deep = [layers.Dense(16, "sigmoid") for _ in range(12)]
    monitor = callbacks.GradientMonitor(every=2, verbose=0)

    _fit(_model(None, 16, *deep), data, monitor, epochs=2)

    assert monitor.report().startswith("gradients vanish towards the input")
    assert next(iter(monitor.gradients)) == "hidden"
    assert list(monitor.gradients)[-1] == "scores"
    assert all(None not in sizes for sizes in monitor.activations.values())
    assert monitor.steps == [0, 2, 4]


def test_tensorboard_draws_the_graph_of_a_model(data, tmp_path):
    pytest.importorskip("tensorboard")
    from test_callbacks_tensorboard import _points, _read

    history = _fit(_model(), data, callbacks.TensorBoard(tmp_path, histogram_freq=1))

    train, validation = _read(tmp_path / "train"), _read(tmp_path / "validation")
    names = " ".join(node.name for node in train.Graph().node)
    assert "Dense[hidden]" in names
    assert "Dense[scores]" in names
    losses = [value for _, value in _points(validation, "epoch_loss")]
    assert losses == pytest.approx(history.history["val_loss"], rel=1e-5)
    assert any(tag.endswith("/gradient") for tag in train.Tags()["histograms"])


def test_profile_and_time_budget(data, tmp_path):
    profiler = callbacks.Profiler(tmp_path, start=1, steps=2, verbose=0)
    budget = callbacks.TimeBudget(1e-9, verbose=0)

    _fit(_model(), data, profiler)
    history = _fit(_model(), data, budget, epochs=50)

    assert "aten::" in profiler.table()
    assert len(history.epoch) == 1


@pytest.mark.filterwarnings("ignore:K136")
def test_nan_ends_training(data):
    model = _model(optimizers.SGD(1e30))

    history = _fit(model, data, callbacks.TerminateOnNaN(), epochs=50)

    assert len(history.epoch) < 5


def test_the_graph_of_a_model_without_declared_inputs_is_drawn_too(data, tmp_path):
    pytest.importorskip("tensorboard")
    from test_callbacks_tensorboard import _read

    class Net(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.scores = layers.Dense(2)

        def call(self, inputs):
            return self.scores(inputs)

    model = Net()
    model.compile("sgd", "mse")

    model.fit(data[0], data[0][:, :2], verbose=0, callbacks=[callbacks.TensorBoard(tmp_path)])

    names = " ".join(node.name for node in _read(tmp_path / "train").Graph().node)
    assert "Dense[scores]" in names


def test_the_best_weights_stay_where_the_optimizer_keeps_averages(data):
    model, seen = _model(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)), []
    values = iter([2.0, 1.0, 3.0])

    def log_value(epoch, logs):
        seen.append([weight.copy() for weight in model.get_weights()])
        logs["score"] = next(values)

    log = callbacks.LambdaCallback(on_epoch_end=log_value)
    stopping = callbacks.EarlyStopping("score", mode="min", restore_best_weights=True)

    _fit(model, data, log, stopping, epochs=3)

    assert stopping.best_epoch == 1
    for kept, now in zip(seen[1], model.get_weights(), strict=True):
        assert_close(now, kept)


@pytest.mark.parametrize("swaps", [False, True])
def test_training_ends_with_the_averages(data, swaps):
    model = _model(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9))
    plain = _model(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9))
    plain.set_weights(model.get_weights())

    _fit(plain, data, shuffle=False)
    _fit(model, data, callbacks.SwapEMAWeights(swap_on_epoch=swaps), shuffle=False)

    for kept, now in zip(plain.get_weights(), model.get_weights(), strict=True):
        assert_close(now, kept)


@pytest.mark.parametrize("split", [0.0, 0.25], ids=["alone", "with validation"])
def test_the_model_is_in_evaluation_mode_at_the_end_of_an_epoch(data, split):
    model, modes = _model(None, 8, layers.Dropout(0.5)), []
    watch = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: modes.append(model.training),
        on_epoch_end=lambda epoch, logs: modes.append(model.training),
    )

    _fit(model, data, watch, batch_size=96, epochs=2, validation_split=split)

    assert modes == [True, False] * 2
