"""Views in predict and evaluate: names, any source, any model, memory."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import layers, tta
from kerasish.tta.bound import BoundViews


class Doubled(tta.Views):
    """The batch, and the batch twice as large."""

    def views(self, x, rows):
        yield x
        yield 2 * x


def linear(units=2, activation=None):
    return kerasish.Sequential([layers.Input((3,)), layers.Dense(units, activation=activation)])


def rows(count=6):
    return np.random.default_rng(0).normal(size=(count, 3)).astype("float32")


def test_views_of_ones_own_are_averaged():
    model, x = linear(), rows()

    averaged = model.predict(x, verbose=0, tta=Doubled())

    assert_close(averaged, model.predict(1.5 * x, verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("source", ["loader", "generator", "dataset"])
def test_every_source_of_data_is_taken(source):
    model, x = linear(), rows()
    y = np.arange(6) % 2
    model.compile("sgd", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = TensorDataset(torch.as_tensor(x), torch.as_tensor(y))

    def given():
        if source == "generator":
            return ((x[i : i + 2], y[i : i + 2]) for i in (0, 2, 4))
        return DataLoader(data, batch_size=4) if source == "loader" else data

    predicted = model.predict(given(), verbose=0, tta=Doubled())
    loss = model.evaluate(given(), verbose=0, tta=Doubled())

    assert_close(predicted, model.predict(x, verbose=0, tta=Doubled()))
    assert loss == pytest.approx(model.evaluate(x, y, verbose=0, tta=Doubled()), rel=1e-5)


def test_weights_and_metrics_of_evaluate_are_those_of_the_averaged_outputs():
    model, x = linear(1), rows()
    y, weight = rows()[:, :1], np.arange(6.0)
    model.compile("sgd", "mse", metrics=["mae"])

    loss, mae = model.evaluate(x, y, verbose=0, sample_weight=weight, tta=Doubled())

    p = model.predict(1.5 * x, verbose=0)
    assert loss == pytest.approx((((p - y) ** 2)[:, 0] * weight).mean(), rel=1e-5)
    assert mae == pytest.approx(np.abs(p - y).mean(), rel=1e-5)


def test_structures_of_outputs_are_averaged_leaf_by_leaf():
    x = layers.Input((3,))
    model = kerasish.Model(x, {"a": layers.Dense(2)(x), "b": [layers.Dense(1)(x)]})

    averaged = model.predict(rows(), verbose=0, tta=Doubled())

    wanted = model.predict(1.5 * rows(), verbose=0)
    assert_close(averaged["a"], wanted["a"], rtol=1e-5, atol=1e-6)
    assert_close(averaged["b"][0], wanted["b"][0], rtol=1e-5, atol=1e-6)


def test_a_subclass_with_its_own_predict_step_is_shown_the_views():
    class Own(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def forward(self, x):
            return self.dense(x)

        def predict_step(self, data):
            return self(data) + 1

    model = Own()

    averaged = model.predict(rows(), verbose=0, tta=Doubled())

    assert_close(averaged, model.predict(1.5 * rows(), verbose=0), rtol=1e-5, atol=1e-6)


def test_a_test_step_of_ones_own_cannot_be_shown_views():
    class Own(kerasish.Model):
        def forward(self, x):
            return x

        def test_step(self, data):
            return {}

    model = Own()
    model.compile("sgd", "mse")

    with pytest.raises(ValueError, match="does not reach into"):
        model.evaluate(rows(), rows(), verbose=0, tta=Doubled())


def test_masked_sequences_are_averaged_with_their_mask():
    x = layers.Input((4, 1))
    model = kerasish.Model(x, layers.TimeDistributed(layers.Dense(1))(layers.Masking()(x)))
    model.compile("sgd", "mse")
    data = np.array([[[1.0], [2.0], [0.0], [0.0]]], "float32")

    loss = model.evaluate(data, np.ones_like(data), verbose=0, tta=Doubled())

    p = model.predict(1.5 * data, verbose=0)
    assert loss == pytest.approx(((p - 1) ** 2)[0, :2].mean(), rel=1e-5)


def test_mixed_precision_averages_in_float32():
    model = linear()
    model.compile("sgd", "mse", precision="bfloat16-mixed")

    averaged = model.predict(rows(), verbose=0, tta=Doubled())

    assert_close(averaged, model.predict(1.5 * rows(), verbose=0), rtol=3e-2, atol=3e-2)


def test_one_view_is_in_memory_at_a_time():
    alive = []

    class Counted(tta.Views):
        def views(self, x, rows):
            for _ in range(20):
                view = x.clone()
                alive.append(torch.utils.weak.WeakTensorKeyDictionary({view: None}))
                yield view
                del view
                most.append(sum(len(held) for held in alive))

    most = []
    linear().predict(rows(), verbose=0, tta=Counted())

    assert len(most) == 20
    assert max(most) <= 2


def test_without_views_the_short_path_is_taken(monkeypatch):
    model = linear()
    monkeypatch.setattr(BoundViews, "__call__", None)

    assert model.predict(rows(), verbose=0).shape == (6, 2)


def test_a_model_of_its_own_code_is_built_by_the_first_view():
    model = kerasish.Sequential([layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((4, 3, 6, 7)).astype("float32")

    model.evaluate(x, np.zeros((4, 2), "float32"), verbose=0, tta=tta.TenCrop(5))

    assert model.layers[-1].linear.weight.shape == (2, 75)


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(ValueError, match=r"unknown views 'ten_crops' .*did you mean 'ten_crop'"):
        linear().predict(rows(), verbose=0, tta="ten_crops")


def test_a_pipeline_is_no_view_by_itself():
    with pytest.raises(TypeError, match=r"Draws\(pipeline, n\)"):
        linear().predict(rows(), verbose=0, tta=layers.RandomFlip())


def test_views_of_none_are_refused():
    class Nothing(tta.Views):
        def views(self, x, rows):
            return iter(())

    with pytest.raises(ValueError, match="no views to average"):
        linear().predict(rows(), verbose=0, tta=Nothing())


def test_a_torch_module_is_averaged():
    model = kerasish.Model(nn.Linear(3, 2))

    averaged = model.predict(rows(), verbose=0, tta=Doubled())

    assert_close(averaged, model.predict(1.5 * rows(), verbose=0), rtol=1e-5, atol=1e-6)


def test_spread_comes_beside_the_mean():
    model = linear()

    mean, spread = model.predict(rows(), batch_size=4, verbose=0, tta=Doubled(spread=True))

    pair = [model.predict(rows(), verbose=0), model.predict(2 * rows(), verbose=0)]
    assert_close(mean, np.mean(pair, axis=0), rtol=1e-5, atol=1e-6)
    assert_close(spread, np.std(pair, axis=0), rtol=1e-4, atol=1e-6)


def test_evaluate_looks_at_the_mean_alone():
    model = linear()
    model.compile("sgd", "mse")
    y = np.zeros((6, 2), "float32")

    loss = model.evaluate(rows(), y, verbose=0, tta=Doubled(spread=True))

    assert loss == pytest.approx((model.predict(1.5 * rows(), verbose=0) ** 2).mean(), rel=1e-5)


class Numbers(tta.Views):
    """The first column replaced by each row's number in the data."""

    def views(self, x, rows):
        yield torch.cat([rows[:, None].to(x.dtype), x[:, 1:]], 1)


def in_batches(x, sizes):
    return (torch.as_tensor(part) for part in np.split(x, np.cumsum(sizes)[:-1]))


@pytest.mark.parametrize("source", ["arrays", "loader", "generator"])
def test_views_hear_the_numbers_of_rows_in_the_data(source):
    x = rows(12)
    x[:, 0] = np.arange(12)  # so that the view is the row itself
    model = linear()
    data = {
        "arrays": lambda: x,
        "loader": lambda: DataLoader(
            TensorDataset(torch.as_tensor(x)), 5, shuffle=True, generator=torch.Generator()
        ),
        "generator": lambda: in_batches(x, [3, 7, 2]),
    }[source]

    assert_close(model.predict(data(), verbose=0, tta=Numbers()), model.predict(data(), verbose=0))


def test_a_fit_hears_no_other_numbers_from_predictions_within_it():
    class Asks(kerasish.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.predict(x[:3], verbose=0, tta=Numbers())

    x, seen = rows(8), []
    for callbacks in ([], [Asks()]):
        kerasish.utils.set_random_seed(0)
        noise = layers.GaussianNoise(0.5)
        draws = layers.RandomBrightness(0.5, value_range=(-9, 9), seed=1)
        images = [layers.Reshape((1, 1, 3)), draws, layers.Flatten(), noise, layers.Dense(1)]
        model = kerasish.Sequential([layers.Input((3,)), *images])
        model.compile("sgd", "mse")
        fitted = model.fit(x, x[:, :1], batch_size=4, epochs=2, verbose=0, callbacks=callbacks)
        seen.append(fitted.history["loss"])

    assert seen[0] == seen[1]
