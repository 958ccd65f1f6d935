"""evaluate and test_on_batch."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import callbacks, layers, losses, metrics, optimizers
from tests.training.twins import assert_same_logs, classifier, rows, twins

pytestmark = pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")

X, LABELS, REALS = rows()
WEIGHTS = np.random.default_rng(1).random(50).astype("float32")


def settings(lib):
    return {
        "optimizer": "sgd",
        "loss": lib.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": ["accuracy"],
        "weighted_metrics": ["accuracy"],
    }


def model_for(loss=None, metric_names=("accuracy",)):
    model = classifier(kerasish)
    loss = loss or losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.SGD(0.1), loss, metrics=list(metric_names), device="cpu")
    return model


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_evaluate_gives_what_keras_gives(weights):
    ours, theirs = twins(classifier, settings)
    given = {"sample_weight": weights, "batch_size": 16, "verbose": 0, "return_dict": True}

    a, b = ours.evaluate(X, LABELS, **given), theirs.evaluate(X, LABELS, **given)

    assert_same_logs(dict(sorted(a.items())), dict(sorted(b.items())))


def test_a_list_begins_with_the_loss_and_a_lone_loss_is_a_number():
    model = model_for()

    values = model.evaluate(X, LABELS, verbose=0)

    assert [type(value) for value in values] == [float, float]
    assert values == list(model.evaluate(X, LABELS, verbose=0, return_dict=True).values())
    assert isinstance(model_for(metric_names=()).evaluate(X, LABELS, verbose=0), float)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 50, 1000])
def test_the_batch_size_does_not_change_the_result(batch_size):
    names = ["accuracy", metrics.MeanIoU(3, sparse_y_pred=False), "sparse_categorical_crossentropy"]
    model = model_for(metric_names=names)
    expected = model.evaluate(X, LABELS, batch_size=50, verbose=0)

    assert model.evaluate(X, LABELS, batch_size=batch_size, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )


def test_steps_limits_the_batches():
    model = model_for()

    assert model.evaluate(X, LABELS, batch_size=8, steps=2, verbose=0) == pytest.approx(
        model.evaluate(X[:16], LABELS[:16], verbose=0)
    )


def test_more_steps_than_batches_count_no_row_twice():
    model = model_for()

    assert model.evaluate(X, LABELS, batch_size=16, steps=9, verbose=0) == pytest.approx(
        model.evaluate(X, LABELS, batch_size=16, verbose=0)
    )


def test_every_call_starts_the_metrics_anew():
    model = model_for()

    assert model.evaluate(X, LABELS, verbose=0) == model.evaluate(X, LABELS, verbose=0)


def test_evaluate_runs_in_evaluation_mode_and_changes_nothing():
    model = kerasish.Sequential(
        [layers.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(3)]
    )
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), device="cpu")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()

    first = model.evaluate(X, LABELS, verbose=0)

    assert model.evaluate(X, LABELS, verbose=0) == first
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_test_hooks_are_called():
    called = []

    class Watch(callbacks.Callback):
        def on_test_begin(self, logs=None):
            called.append("begin")

        def on_test_batch_end(self, batch, logs=None):
            called.append((batch, sorted(logs)))

        def on_test_end(self, logs=None):
            called.append(sorted(logs))

    model_for().evaluate(X, LABELS, batch_size=25, verbose=0, callbacks=[Watch()])

    names = ["accuracy", "loss"]
    assert called == ["begin", (0, names), (1, names), names]


def test_loaders_bring_their_targets():
    data = TensorDataset(torch.tensor(X), torch.tensor(LABELS))
    model = model_for()

    for source in (data, DataLoader(data, batch_size=8)):
        assert model.evaluate(source, verbose=0) == pytest.approx(
            model.evaluate(X, LABELS, verbose=0), rel=1e-5
        )


def test_a_single_batch_gives_its_own_numbers_as_in_keras():
    ours, theirs = twins(classifier, settings)

    for rows_ in (slice(20), slice(20, 50)):
        a = ours.test_on_batch(X[rows_], LABELS[rows_], return_dict=True)
        b = theirs.test_on_batch(X[rows_], LABELS[rows_], return_dict=True)

        assert_same_logs(dict(sorted(a.items())), dict(sorted(b.items())))
        expected = ours.evaluate(X[rows_], LABELS[rows_], verbose=0)
        assert list(a.values()) == pytest.approx(expected)


def test_training_and_testing_single_batches_may_alternate():
    ours, theirs = twins(
        classifier, lambda lib: {**settings(lib), "optimizer": lib.optimizers.SGD(0.1)}
    )

    for _ in range(3):
        a, b = (
            m.train_on_batch(X, LABELS, sample_weight=WEIGHTS, return_dict=True)
            for m in (ours, theirs)
        )
        assert a == pytest.approx({name: float(value) for name, value in b.items()}, rel=1e-5)
        a, b = (m.test_on_batch(X, LABELS, return_dict=True) for m in (ours, theirs))
        assert a == pytest.approx({name: float(value) for name, value in b.items()}, rel=1e-5)


def test_class_weights_on_a_single_batch():
    ours, theirs = twins(classifier, settings)
    weights = {0: 1.0, 1: 2.0, 2: 0.5}

    a, b = (
        m.train_on_batch(X, LABELS, class_weight=weights, return_dict=True) for m in (ours, theirs)
    )

    assert a == pytest.approx({name: float(value) for name, value in b.items()}, rel=1e-5)


class Graphs(kerasish.utils.PyDataset):
    """Batches of two and of three graphs, whose nodes are more, and each time of another number."""

    def __len__(self):
        return 2

    def __getitem__(self, number):
        owners = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 2, 2]][number] + [1] * 7 * number)
        edges = torch.zeros(3, 2, dtype=torch.int64)
        nodes = torch.randn(len(owners), 3, generator=torch.Generator().manual_seed(number))
        return (nodes, owners, edges), torch.arange(2.0 + number).unsqueeze(1)


class SumOfNodes(kerasish.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, inputs):
        nodes, owners, _ = inputs
        return self.dense(kerasish.ops.segment_sum(nodes, owners, num_segments=owners.max() + 1))


def test_inputs_of_a_stream_may_have_rows_of_their_own_as_the_nodes_of_graphs():
    model = SumOfNodes()
    model.compile("sgd", "mse", metrics=["mae"])

    history = model.fit(Graphs(), validation_data=Graphs(), epochs=1, verbose=0).history
    loss, mae = model.evaluate(Graphs(), verbose=0)

    batches = [Graphs()[number] for number in range(2)]
    wrong = torch.cat([(model(x) - y).detach() for x, y in batches])
    assert (loss, mae) == pytest.approx((float(wrong.square().mean()), float(wrong.abs().mean())))
    assert history["val_loss"] == pytest.approx([loss])
    assert model.predict(Graphs(), verbose=0).shape == (5, 1)


def test_targets_and_weights_of_such_a_stream_go_together_still():
    class Short(Graphs):
        def __getitem__(self, number):
            x, y = super().__getitem__(number)
            return x, y, torch.ones(7)

    model = SumOfNodes()
    model.compile("sgd", "mse")

    with pytest.raises(ValueError, match=r"same number of rows, got y: .*sample_weight: .*\(7,\)"):
        model.fit(Short(), verbose=0)
