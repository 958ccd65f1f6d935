"""The samples of greatest loss."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import layers, report
from kerasish.losses import BinaryCrossentropy, SparseCategoricalCrossentropy
from kerasish.report.worst import losses_by_row


def network(units=3, activation="softmax", loss="sparse_categorical_crossentropy"):
    model = kerasish.Sequential(
        [layers.Input((1, 4, 4)), layers.Flatten(), layers.Dense(units, activation=activation)]
    )
    model.compile("sgd", loss)
    return model


def data(rows=20, classes=3):
    generator = np.random.default_rng(0)
    return generator.random((rows, 1, 4, 4)).astype("float32"), generator.integers(0, classes, rows)


def losses_by_hand(model, x, y):
    return -np.log(model.predict(x, verbose=0)[np.arange(len(x)), y])


@pytest.mark.parametrize("batch_size", [3, 32])
def test_rows_of_greatest_loss_come_first(batch_size):
    model, (x, y) = network(), data()

    found = report.worst_predictions(model, x, y, n=5, batch_size=batch_size)

    losses = losses_by_hand(model, x, y)
    order = np.argsort(-losses)[:5]
    p = model.predict(x, verbose=0)
    assert found.indices.tolist() == order.tolist()
    assert_close(found.losses, losses[order].astype(float), rtol=1e-4, atol=1e-5)
    assert_close(found.images, x[order])
    assert found.labels.tolist() == y[order].tolist()
    assert found.predictions.tolist() == p[order].argmax(1).tolist()
    assert_close(found.probabilities, p[order])


@pytest.mark.parametrize("source", ["dataset", "loader", "generator"])
def test_every_source_is_taken(source):
    model, (x, y) = network(), data()
    pairs = TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    given = {
        "dataset": pairs,
        "loader": DataLoader(pairs, batch_size=6),
        "generator": ((x[i : i + 5], y[i : i + 5]) for i in range(0, 20, 5)),
    }[source]

    found = report.worst_predictions(model, given, n=4)

    assert found.indices.tolist() == np.argsort(-losses_by_hand(model, x, y))[:4].tolist()


def test_logits_become_probabilities():
    model = network(3, None, SparseCategoricalCrossentropy(from_logits=True))
    x, y = data()

    found = report.worst_predictions(model, x, y, n=2)

    logits = torch.as_tensor(model.predict(x, verbose=0))
    assert_close(torch.as_tensor(found.probabilities), logits.softmax(1)[found.indices])


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), "categorical_crossentropy"])
def test_torchs_loss_and_one_hot_targets_are_read(loss):
    is_torch = isinstance(loss, nn.Module)
    model, (x, y) = network(3, None if is_torch else "softmax", loss), data()

    found = report.worst_predictions(model, x, y if is_torch else np.eye(3)[y], n=3)

    assert found.labels.tolist() == y[found.indices].tolist()
    assert_close(found.probabilities.sum(1), np.ones(3, "float32"))


@pytest.mark.parametrize("from_logits", [True, False])
def test_answers_of_yes_or_no_are_classes_too(from_logits):
    model = network(1, None if from_logits else "sigmoid", BinaryCrossentropy(from_logits))
    x, y = data(classes=2)

    found = report.worst_predictions(model, x, y, n=4, class_names=["no", "yes"])

    assert found.labels.tolist() == y[found.indices].tolist()
    assert set(found.predictions.tolist()) <= {0, 1}
    assert (found.predictions != found.labels).all()
    assert found.class_names == ["no", "yes"]


def test_regression_has_outputs_instead_of_classes():
    model, (x, y) = network(1, None, "mse"), data()

    found = report.worst_predictions(model, x, y.astype("float32"), n=3)

    p = model.predict(x, verbose=0)[:, 0]
    order = np.argsort(-((p - y) ** 2))[:3]
    assert found.indices.tolist() == order.tolist()
    assert_close(found.predictions[:, 0], p[order])
    assert found.class_names is None


def test_fewer_rows_than_asked_for_are_all_given():
    assert len(report.worst_predictions(network(), *data(4), n=10).losses) == 4


def test_a_function_that_gives_one_number_is_asked_for_each_row():
    def loss(y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean()

    y, p = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]])

    values = losses_by_row(kerasish.losses.get(loss), y, p)

    assert values.tolist() == [1.0, 4.0]


def test_losses_that_are_no_numbers_are_the_worst():
    model, (x, y) = network(), data()
    x[13] = np.nan

    assert report.worst_predictions(model, x, y, n=2, batch_size=4).indices[0] == 13


def test_ignored_targets_do_not_count():
    loss = SparseCategoricalCrossentropy(ignore_class=0)
    p = torch.full((1, 2, 2), 0.5)

    value = losses_by_row(loss, torch.tensor([[0, 1]]), p)

    assert float(value) == pytest.approx(np.log(2), rel=1e-5)


def test_paths_of_images_are_read(tmp_path):
    image = pytest.importorskip("PIL.Image")
    model = kerasish.Sequential(
        [layers.Input((3, 4, 4)), layers.Flatten(), layers.Dense(2, activation="softmax")]
    )
    model.preprocessing = kerasish.applications.ImagePreprocessing(
        (4, 4), mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4], channel_order="bgr"
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for number, path in enumerate(paths):
        image.new("RGB", (8, 8), (80 * number,) * 3).save(path)

    found = report.worst_predictions(model, paths, np.array([0, 1, 0]), n=3)

    assert found.images.shape == (3, 3, 4, 4)
    assert (found.images[:, 0, 0, 0] == 80 * found.indices).all()


def test_images_are_drawn_with_their_labels(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "worst.png"

    found = report.worst_predictions(
        network(), *data(), n=7, class_names=["a", "b", "c"], plot=path
    )
    figure = found.plot(columns=3)

    assert path.read_bytes().startswith(b"\x89PNG")
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert len(titles) == 7
    assert f"true: {found.class_names[found.labels[0]]}" in titles[0]


def test_vectors_cannot_be_drawn():
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    found = report.worst_predictions(model, np.ones((3, 4), "float32"), np.zeros(3, int))

    with pytest.raises(ValueError, match="only images of 4 axes can be drawn"):
        found.plot()


def test_a_model_must_be_compiled_with_a_loss():
    model = kerasish.Sequential([layers.Input((1, 4, 4)), layers.Flatten(), layers.Dense(3)])

    with pytest.raises(RuntimeError, match="must be compiled first"):
        report.worst_predictions(model, *data())


@pytest.mark.parametrize("n", [0, 1.5, True])
def test_impossible_counts_are_refused(n):
    with pytest.raises(ValueError, match="`n` must be a positive number"):
        report.worst_predictions(network(), *data(), n=n)


def test_the_modes_of_a_model_are_left_as_they_are():
    model = kerasish.Sequential([layers.Input((3,)), layers.Dropout(0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.train()
    model.layers[0].eval()

    report.worst_predictions(model, np.ones((4, 3)), np.ones((4, 1)), n=1)

    assert model.training
    assert not model.layers[0].training
    assert model.layers[1].training


def test_infinite_losses_stay_infinite():
    model = kerasish.Sequential([layers.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")

    found = report.worst_predictions(model, np.ones((3, 1)), np.array([0.0, 1e30, 0.0]), n=1)

    assert found.losses.tolist() == [float("inf")]
