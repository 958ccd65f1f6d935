"""The same model in kerasish and in Keras, with the same weights, and comparisons of their logs."""

import warnings

import numpy as np
import pytest

import kerasish

# Settings under which both must give the same numbers.
PLAIN = {"verbose": 0, "shuffle": False}


def rows(count=50, features=4, classes=3, seed=0):
    """Inputs, class indices and real targets."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, features)).astype("float32")
    labels = draw.integers(0, classes, count)
    return x, labels, draw.normal(size=(count, classes)).astype("float32")


def classifier(lib, units=3, activation=None, name=None):
    """A small network that returns one score for each class."""
    return lib.Sequential(
        [
            lib.layers.Input((4,)),
            lib.layers.Dense(8, activation="tanh"),
            lib.layers.Dense(units, activation=activation, name=name),
        ]
    )


def twins(build, compile_with=None):
    """A kerasish and a Keras model with equal weights.

    Args:
        build: Makes the model from a library.
        compile_with: Makes the arguments of `compile` from a library.
    """
    keras = pytest.importorskip("keras")
    kerasish.utils.set_random_seed(1)
    keras.utils.clear_session()
    ours, theirs = build(kerasish), build(keras)
    theirs.set_weights(ours.get_weights())
    if compile_with is not None:
        ours.compile(**compile_with(kerasish), device="cpu")
        theirs.compile(**compile_with(keras))
    return ours, theirs


def quietly(function, *args, **kwargs):
    """Call something of Keras's that gives deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def assert_same_history(ours, theirs, tolerance=1e-5):
    """Compare two `History` objects, names and numbers, in any order of names."""
    assert sorted(ours.history) == sorted(theirs.history)
    for name, values in theirs.history.items():
        np.testing.assert_allclose(ours.history[name], values, tolerance, tolerance, err_msg=name)


def assert_same_logs(ours, theirs, tolerance=1e-5):
    """Compare two dicts of numbers."""
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, tolerance, tolerance, err_msg=name)


def assert_same_training(build, compile_with, *args, **fit):
    """Fit both on the same data and compare the histories, then the weights.

    Returns:
        Both models.
    """
    ours, theirs = twins(build, compile_with)
    fit = {**PLAIN, "epochs": 2, "batch_size": 16, **fit}
    expected = quietly(theirs.fit, *args, **fit)
    assert_same_history(ours.fit(*args, **fit), expected)
    for one, other in zip(ours.get_weights(), theirs.weights, strict=True):
        np.testing.assert_allclose(one, other.value.detach().numpy(), 1e-4, 1e-5)
    return ours, theirs
