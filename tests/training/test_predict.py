"""predict and predict_on_batch."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import callbacks, layers
from tests.training.twins import classifier, quietly, rows, twins

X, LABELS, _ = rows()


def outputs_of(model, x=X):
    with torch.no_grad():
        return model.eval()(torch.tensor(x)).numpy()


def test_predict_gives_what_keras_gives():
    ours, theirs = twins(classifier)

    expected = quietly(theirs.predict, X, verbose=0)
    np.testing.assert_allclose(ours.predict(X, verbose=0), expected, 1e-5, 1e-6)


def batches():
    for start in range(0, 50, 16):
        yield X[start : start + 16]


def with_targets():
    for start in range(0, 50, 16):
        yield X[start : start + 16], LABELS[start : start + 16]


TENSORS = TensorDataset(torch.tensor(X), torch.tensor(LABELS))
SOURCES = {
    "array": lambda: X,
    "tensor": lambda: torch.tensor(X),
    "float64": lambda: X.astype("float64"),
    "list": lambda: X.tolist(),
    "dataset": lambda: TENSORS,
    "loader": lambda: DataLoader(TENSORS, batch_size=16),
    "generator": batches,
    "generator_with_targets": with_targets,
    "list_of_batches": lambda: DataLoader([torch.tensor(row) for row in X], batch_size=16),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_rows(source):
    model = classifier(kerasish)

    y = model.predict(SOURCES[source](), verbose=0)

    assert type(y) is np.ndarray
    assert_close(y, outputs_of(model))


@pytest.mark.parametrize("batch_size", [1, 7, 50, 100])
def test_the_batch_size_does_not_matter(batch_size):
    model = classifier(kerasish)

    assert_close(model.predict(X, batch_size=batch_size, verbose=0), outputs_of(model))


def test_steps_limits_the_batches():
    model = classifier(kerasish)

    assert_close(model.predict(X, batch_size=8, steps=2, verbose=0), outputs_of(model)[:16])


@pytest.mark.parametrize("form", ["list", "dict", "nested"])
def test_outputs_keep_their_structure(form):
    x = kerasish.Input((4,))
    a, b = layers.Dense(3)(x), layers.Dense(2)(x)
    structure = {"list": [a, b], "dict": {"a": a, "b": b}, "nested": {"a": a, "rest": [b, x]}}[form]
    model = kerasish.Model(x, structure)

    y = model.predict(X, batch_size=16, verbose=0)

    with torch.no_grad():
        expected = model(torch.tensor(X))
    assert type(y) is type(expected)
    assert_close(kerasish.tree.map_structure(torch.tensor, y), expected)


def test_several_inputs():
    p, q = kerasish.Input((4,), name="p"), kerasish.Input((4,), name="q")
    model = kerasish.Model([p, q], p - q)

    for x in ([X, 2 * X], (X, 2 * X), {"q": 2 * X, "p": X}):
        assert_close(model.predict(x, batch_size=16, verbose=0), -X)


def test_a_model_need_not_be_compiled_nor_built():
    model = kerasish.Sequential([layers.Dropout(0.5), layers.Dense(3)])

    y = model.predict(X, verbose=0)

    assert_close(y, outputs_of(model))


def test_predict_on_batch_takes_any_number_of_rows():
    model = classifier(kerasish)

    y = model.predict_on_batch(X)

    assert type(y) is np.ndarray
    assert_close(y, outputs_of(model))


def test_bytes_become_floats_on_the_way():
    model = kerasish.Sequential([layers.Input((2, 2)), layers.Flatten(), layers.Dense(3)])
    images = np.arange(40, dtype="uint8").reshape(10, 2, 2)

    assert_close(model.predict(images, verbose=0), outputs_of(model, images.astype("float32")))


def test_predict_hooks_see_the_outputs():
    seen = []

    class Watch(callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            seen.append((batch, logs["outputs"].shape))

    classifier(kerasish).predict(X, batch_size=20, verbose=0, callbacks=[Watch()])

    assert seen == [(0, (20, 3)), (1, (20, 3)), (2, (10, 3))]


def test_predictions_own_their_memory():
    model = kerasish.Sequential([layers.Input((4,)), layers.Activation("linear")])
    x = X.copy()

    y = model.predict(x, verbose=0)
    y += 1

    assert_close(x, X)


def test_predicting_leaves_random_numbers_alone():
    model = kerasish.Sequential([layers.Input((4,)), layers.Dropout(0.5)])
    state = torch.get_rng_state()

    model.predict(X, verbose=0)

    assert torch.equal(torch.get_rng_state(), state)
