"""Steps, losses and metrics that a subclass defines itself."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader

import kerasish
from kerasish import layers, losses, metrics, optimizers
from tests.training.twins import PLAIN, rows

pytestmark = pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")

X, LABELS, REALS = rows()
WEIGHTS = np.random.default_rng(1).random(50).astype("float32")


class Net(kerasish.Model):
    """What the subclasses below share."""

    def __init__(self, units=3, **first):
        super().__init__()
        self.first = layers.Dense(8, "tanh", **first)
        self.last = layers.Dense(units)

    def call(self, inputs):
        return self.last(self.first(inputs))


def pair(cls, plain=Net, **first):
    """A model of `cls` and a plain one with the same weights."""
    ours, reference = cls(**first), plain(**first)
    ours(torch.tensor(X)), reference(torch.tensor(X))
    reference.set_weights(ours.get_weights())
    return ours, reference


def assert_same_fit(ours, reference, compile_with, y, names=None, **fit):
    """Fit both, compare the logs called `names` (all by default) and the weights."""
    fit = {**PLAIN, "epochs": 2, "batch_size": 16, **fit}
    for model in (ours, reference):
        model.compile(**compile_with(), device="cpu")
    a, b = (model.fit(X, y, **fit).history for model in (ours, reference))
    for name in b if names is None else names:
        assert a[name] == pytest.approx(b[name], rel=1e-5), name
    for one, other in zip(ours.get_weights(), reference.get_weights(), strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-6)
    return a


def regression(**more):
    return lambda: {
        "optimizer": optimizers.SGD(0.1),
        "loss": "mse",
        "metrics": ["mae"],
        **{key: value() if callable(value) else value for key, value in more.items()},
    }


# As Keras's guide on custom steps with torch writes them


class AsInTheGuide(Net):
    def train_step(self, data):
        x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        loss.backward()
        trainable_weights = list(self.trainable_weights)
        gradients = [v.grad for v in trainable_weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, trainable_weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def test_the_guides_train_step_trains_as_fit_does():
    ours, reference = pair(AsInTheGuide)

    assert_same_fit(ours, reference, regression(), REALS, ["mae"])


def test_the_guides_train_step_sees_penalties_and_constraints():
    first = {"kernel_regularizer": "l2", "kernel_constraint": "non_neg"}
    ours, reference = pair(AsInTheGuide, **first)

    assert_same_fit(ours, reference, regression(), REALS, ["mae"])
    assert ours.get_weights()[0].min() >= 0


class LowerLevel(Net):
    def __init__(self, **first):
        super().__init__(**first)
        self.loss_tracker = metrics.Mean(name="loss")
        self.mae_metric = metrics.MeanAbsoluteError(name="mae")
        self.loss_fn = losses.MeanSquaredError()

    def train_step(self, data):
        x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.loss_fn(y, y_pred)
        loss.backward()
        gradients = [v.grad for v in self.trainable_weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, self.trainable_weights)
        self.loss_tracker.update_state(loss)
        self.mae_metric.update_state(y, y_pred)
        return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

    @property
    def metrics(self):
        return [self.loss_tracker, self.mae_metric]


def test_a_step_with_its_own_loss_and_metrics_needs_only_an_optimizer():
    ours, reference = pair(LowerLevel)
    ours.compile(optimizer=optimizers.SGD(0.1), device="cpu")
    reference.compile(optimizers.SGD(0.1), "mse", metrics=["mae"], device="cpu")

    a, b = (m.fit(X, REALS, epochs=3, **PLAIN).history for m in (ours, reference))

    assert list(a) == ["loss", "mae"]
    assert a["mae"] == pytest.approx(b["mae"], rel=1e-5)
    assert ours.metrics_names == ["loss", "mae"]


class Weighted(Net):
    def train_step(self, data):
        if len(data) == 3:
            x, y, sample_weight = data
        else:
            sample_weight = None
            x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
        loss.backward()
        gradients = [v.grad for v in self.trainable_weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, self.trainable_weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred, sample_weight=sample_weight)
        return {m.name: m.result() for m in self.metrics}


def test_sample_and_class_weights_reach_a_custom_step():
    ours, reference = pair(Weighted)

    assert_same_fit(ours, reference, regression(), REALS, [], sample_weight=WEIGHTS)

    ours, reference = pair(Weighted)
    settings = regression(loss=lambda: losses.SparseCategoricalCrossentropy(from_logits=True))
    weights = {0: 1.0, 1: 3.0, 2: 0.5}
    assert_same_fit(
        ours,
        reference,
        lambda: {**settings(), "metrics": []},
        LABELS,
        [],
        class_weight=weights,
    )


class OwnTest(Net):
    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def test_the_guides_test_step_evaluates_as_evaluate_does():
    ours, reference = pair(OwnTest)
    for model in (ours, reference):
        model.compile(optimizers.SGD(0.1), "mse", metrics=["mae"], device="cpu")

    a, b = (m.evaluate(X, REALS, batch_size=25, verbose=0) for m in (ours, reference))

    assert a == pytest.approx(b, rel=1e-5)


class Generator(kerasish.Model):
    """A model whose train_step trains two networks with two optimizers; it has no call."""

    def __init__(self):
        super().__init__()
        self.generator = kerasish.Sequential(
            [layers.Input((2,)), layers.Dense(8, "relu"), layers.Dense(4)]
        )
        self.discriminator = kerasish.Sequential(
            [layers.Input((4,)), layers.Dense(8, "relu"), layers.Dense(1)]
        )
        self.d_loss_tracker = metrics.Mean(name="d_loss")
        self.g_loss_tracker = metrics.Mean(name="g_loss")

    @property
    def metrics(self):
        return [self.d_loss_tracker, self.g_loss_tracker]

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile(device="cpu")
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

    def train_step(self, real):
        if isinstance(real, tuple):
            real = real[0]
        count = real.shape[0]
        fake = self.generator(torch.randn(count, 2)).detach()
        labels = torch.cat([torch.ones(count, 1), torch.zeros(count, 1)])
        self.zero_grad()
        d_loss = self.loss_fn(labels, self.discriminator(torch.cat([real, fake])))
        d_loss.backward()
        weights = list(self.discriminator.trainable_weights)
        with torch.no_grad():
            self.d_optimizer.apply([v.grad for v in weights], weights)

        self.zero_grad()
        guesses = self.discriminator(self.generator(torch.randn(count, 2)))
        g_loss = self.loss_fn(torch.ones(count, 1), guesses)
        g_loss.backward()
        weights = list(self.generator.trainable_weights)
        with torch.no_grad():
            self.g_optimizer.apply([v.grad for v in weights], weights)
        self.d_loss_tracker.update_state(d_loss)
        self.g_loss_tracker.update_state(g_loss)
        return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}


class GeneratorWithCall(Generator):
    """Its call takes noise, not what fit is given."""

    def call(self, noise):
        return self.generator(noise)


@pytest.mark.parametrize("cls", [Generator, GeneratorWithCall])
def test_two_networks_train_with_two_optimizers(cls):
    gan = cls()
    gan.compile(
        optimizers.Adam(0.01), optimizers.Adam(0.01), losses.BinaryCrossentropy(from_logits=True)
    )
    before = [w.clone() for w in gan.weights]

    history = gan.fit(X, epochs=3, batch_size=25, verbose=0).history

    assert list(history) == ["d_loss", "g_loss"]
    assert all(np.isfinite(values).all() for values in history.values())
    assert all(not torch.equal(a, b) for a, b in zip(before, gan.weights, strict=True))
    assert gan.d_optimizer.iterations == gan.g_optimizer.iterations == 6


# Building on what is there


class CallsSuper(Net):
    def train_step(self, data):
        logs = super().train_step(data)
        return {**logs, "twice": 2 * logs["loss"]}

    def test_step(self, data):
        logs = super().test_step(data)
        return {**logs, "twice": 2 * logs["loss"]}


FEATURES = {
    "plain": ({}, {}),
    "penalty": ({"kernel_regularizer": "l2", "activity_regularizer": "l1"}, {}),
    "constraint": ({"kernel_constraint": "non_neg"}, {}),
    "clip_norm": ({}, {"clip_norm": 0.01}),
    "accumulate_steps": ({}, {"accumulate_steps": 2}),
    "bfloat16": ({}, {"precision": "bfloat16-mixed"}),
    "multipliers": ({}, {"lr_multipliers": {"first.*": 0.0}}),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_step_that_calls_the_inherited_one_keeps_all_that_compile_asks_for(feature):
    first, more = FEATURES[feature]
    ours, reference = pair(CallsSuper, **first)

    logs = assert_same_fit(ours, reference, regression(**more), REALS, validation_split=0.3)

    assert logs["twice"] == pytest.approx([2 * v for v in logs["loss"]])
    assert logs["val_twice"] == pytest.approx([2 * v for v in logs["val_loss"]])


class OwnLoss(Net):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return (y_pred - y).abs().pow(3).mean() + 0 * x.sum()


def cubic(y_true, y_pred):
    return (y_pred - y_true).abs().pow(3).mean(-1)


def test_an_overridden_compute_loss_is_what_is_trained_and_logged():
    ours, reference = pair(OwnLoss)
    ours.compile(optimizers.SGD(0.1), metrics=["mae"], device="cpu")
    reference.compile(optimizers.SGD(0.1), cubic, metrics=["mae"], device="cpu")

    fit = {**PLAIN, "epochs": 2, "validation_split": 0.2}
    a, b = (m.fit(X, REALS, **fit).history for m in (ours, reference))

    assert set(a) == {"loss", "mae", "val_loss", "val_mae"}
    for name in a:
        assert a[name] == pytest.approx(b[name], rel=1e-5)


class OwnMetrics(Net):
    def __init__(self, **first):
        super().__init__(**first)
        self.largest = metrics.Mean(name="largest")

    def compute_metrics(self, x, y, y_pred, sample_weight):
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        self.largest.update_state((y - y_pred).abs().amax(-1))
        results["largest"] = self.largest.result()
        return results


def test_an_overridden_compute_metrics_adds_to_the_logs():
    ours, reference = pair(OwnMetrics)

    logs = assert_same_fit(ours, reference, regression(), REALS, validation_split=0.2)

    assert set(logs) == {"loss", "mae", "largest", "val_loss", "val_mae", "val_largest"}
    expected = np.abs(REALS[40:] - ours.predict(X[40:], verbose=0)).max(-1).mean()
    assert logs["val_largest"][-1] == pytest.approx(expected, rel=1e-5)


class OwnPredict(Net):
    def predict_step(self, data):
        return super().predict_step(data).softmax(-1)


def test_an_overridden_predict_step_makes_the_predictions():
    ours, reference = pair(OwnPredict)

    expected = torch.tensor(reference.predict(X, verbose=0)).softmax(-1)

    assert_close(ours.predict(X, batch_size=16, verbose=0), expected.numpy())


def test_targets_without_a_compiled_loss_reach_the_step_as_they_are():
    seen = []

    class Keeps(Net):
        def train_step(self, data):
            seen.append(data[1])
            return {}

    model = Keeps(units=1)
    model.compile("sgd", device="cpu")
    targets = np.array([1.0, np.nan, 3.0], "float32")

    model.fit(X[:3], targets, shuffle=False, verbose=0)

    np.testing.assert_array_equal(seen[0].numpy(), targets)


def test_a_layers_own_metric_is_reset_each_epoch_and_listed():
    class Watches(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.mean = metrics.Mean(name="activity")

        def call(self, inputs):
            self.mean.update_state(inputs)
            return inputs

    watch = Watches()
    model = kerasish.Sequential([layers.Input((4,)), watch, layers.Dense(3)])
    model.compile("sgd", "mse", device="cpu")

    model.fit(X, REALS, verbose=0)

    assert "activity" in model.metrics_names
    model.reset_metrics()
    assert float(watch.mean.result()) == 0


def test_custom_steps_on_one_batch():
    ours, reference = pair(CallsSuper)
    for model in (ours, reference):
        model.compile(optimizers.SGD(0.1), "mse", metrics=["mae"], device="cpu")

    a = ours.train_on_batch(X, REALS, return_dict=True)
    b = reference.train_on_batch(X, REALS, return_dict=True)

    assert a == {**b, "twice": pytest.approx(2 * b["loss"])}
    assert ours.test_on_batch(X, REALS)[:2] == pytest.approx(reference.test_on_batch(X, REALS))


class Told(Net):
    """Notes what its steps are given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def train_step(self, data):
        self.seen.append(data)
        return {"loss": 0.0}

    test_step = train_step

    def predict_step(self, data):
        self.seen.append(data)
        return torch.zeros(len(X))


def loader(*tensors):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), len(X))


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "train_on_batch"])
def test_inputs_alone_come_alone_as_in_keras(method):
    model = Told()
    model.compile("sgd")
    settings = {} if method == "train_on_batch" else {"batch_size": 50, "verbose": 0}
    getattr(model, method)(X, **({"shuffle": False} if method == "fit" else {}), **settings)

    (seen,) = model.seen
    assert_close(seen, torch.tensor(X))


def test_inputs_in_tuples_or_lists_come_in_tuples():
    model = Told()
    model.compile("sgd")
    model.fit([X, X], batch_size=50, verbose=0)
    model.fit(loader(torch.tensor(X)), verbose=0)
    model.fit(torch.utils.data.DataLoader(torch.tensor(X), len(X)), verbose=0)

    of_list, of_tuple, bare = model.seen
    assert [type(x) for x in of_list] == [list]
    assert [tuple(x.shape) for x in of_tuple] == [X.shape]
    assert tuple(bare.shape) == X.shape


def test_older_words_for_the_compiled_loss_and_metrics_still_work():
    class Older(Net):
        def train_step(self, data):
            x, y = data
            y_pred = self(x, training=True)
            loss = self.compiled_loss(y, y_pred, regularization_losses=self.losses)
            self.zero_grad()
            loss.backward()
            weights = self.trainable_variables
            with torch.no_grad():
                self.optimizer.apply_gradients(zip([w.grad for w in weights], weights, strict=True))
            self.compiled_metrics.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    ours, reference = pair(Older, kernel_regularizer="l2")
    reference.first.kernel_regularizer = ours.first.kernel_regularizer
    compile_with = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    for model in (ours, reference):
        model.last.activation = torch.nn.Softmax(-1)
        model.compile("sgd", **compile_with)
        model.fit(X, LABELS, epochs=2, batch_size=16, shuffle=False, verbose=0)

    for key in ("loss", "accuracy"):
        assert_close(ours.history.history[key], reference.history.history[key])


class Penalised(layers.Layer):
    def call(self, inputs):
        self.add_loss(inputs.square().mean())
        return inputs


def test_a_step_that_calls_layers_itself_sees_the_losses_of_this_batch():
    class InParts(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.encoder = kerasish.Sequential([layers.Input((4,)), layers.Dense(3), Penalised()])
            self.middle = Penalised()
            self.decoder = layers.Dense(4)
            self.counts = []

        def train_step(self, data):
            x, _ = data
            y_pred = self.decoder(self.middle(self.encoder(x)))
            self.counts.append(len(self.losses))
            loss = (y_pred - x).square().mean() + sum(self.losses)
            weights = self.trainable_variables
            self.optimizer.apply(torch.autograd.grad(loss, weights), weights)
            return {"loss": loss.detach()}

    model = InParts()
    model.compile("adam", device="cpu")
    model.fit(X, X, batch_size=20, epochs=2, verbose=0)

    assert model.counts == [2] * 6


def test_a_step_of_ones_own_takes_batches_whose_parts_have_rows_of_their_own():
    class SemiSupervised(Net):
        def train_step(self, data):
            (unlabelled, _), (labelled, labels) = data
            return {"rows": float(len(unlabelled)), "labels": float(len(labels) + len(labelled))}

        test_step = train_step

    x, y = torch.tensor(X), torch.tensor(LABELS)
    pairs = [((x[:8], y[:8]), (x[:3], y[:3])), ((x[:8], y[:8]), (x[:2], y[:2]))]
    batches = DataLoader(pairs, batch_size=None)
    model = SemiSupervised()
    model.compile("sgd")

    history = model.fit(batches, validation_data=batches, epochs=2, verbose=0)

    assert history.history["rows"] == history.history["val_rows"] == [8, 8]
    assert history.history["labels"] == [4, 4]
    plain = Net()
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match="the same number of rows"):
        plain.fit(batches, verbose=0)


class Unlike(kerasish.Model):
    """Its call does not take what fit is given."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(1), layers.Dense(1)
        self.first.build((None, X.shape[1]))
        self.second.build((None, X.shape[1]))

    def call(self, inputs, other):
        return self.first(inputs) + self.second(other)

    def loss_of(self, x):
        return (self(x, x) - 1).square().mean()

    def train_step(self, data):
        self.zero_grad()
        loss = self.loss_of(data)
        loss.backward()
        self.optimizer.apply([p.grad for p in self.optimizer._named.values()])
        return {"loss": loss}


def test_an_optimizer_knows_the_weights_before_the_first_step_of_ones_own():
    model, twin = Unlike(), Unlike()
    twin.load_state_dict(model.state_dict())
    model.compile(optimizers.Adam(0.1), lr_multipliers={"second*": 0.0}, device="cpu")
    torch_adam = torch.optim.Adam(twin.first.parameters(), 0.1, eps=1e-7)
    x = torch.as_tensor(X)
    fixed = [w.clone() for w in model.second.parameters()]

    model.fit(X, epochs=3, batch_size=len(X), shuffle=False, verbose=0)
    for _ in range(3):
        torch_adam.zero_grad()
        twin.loss_of(x).backward()
        torch_adam.step()

    for ours, theirs in zip(model.first.parameters(), twin.first.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, before in zip(model.second.parameters(), fixed, strict=True):
        assert torch.equal(ours, before)


def test_an_optimizer_that_was_bound_to_some_weights_keeps_to_them():
    model = Unlike()
    adam = optimizers.Adam(0.1)
    adam.build(list(model.first.parameters()))
    model.compile(adam, device="cpu")

    model.fit(X, batch_size=50, verbose=0)

    assert len(model.optimizer._named) == 2


def test_a_model_may_give_more_than_its_own_step_compares_with_the_targets():
    class Explained(Net):
        def call(self, inputs):
            hidden = self.first(inputs)
            return self.last(hidden), hidden

        def train_step(self, data):
            x, y = data
            self.zero_grad()
            loss = self.compute_loss(x, y, self(x, training=True)[0])
            loss.backward()
            weights = self.trainable_weights
            self.optimizer.apply([v.grad for v in weights], weights)
            return {**self.compute_metrics(x, y, self(x)[0]), "loss": loss}

    model = Explained()
    model.compile(
        optimizers.SGD(0.1),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    first = model.fit(X, LABELS, batch_size=50, epochs=3, verbose=0).history
    again = model.fit(X, LABELS, batch_size=50, epochs=3, verbose=0).history

    assert first["loss"][0] > first["loss"][-1] > again["loss"][-1]
    assert set(first) == {"loss", "accuracy"}
    assert len(model.predict(X, verbose=0)) == 2
