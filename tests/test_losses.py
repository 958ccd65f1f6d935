"""Losses: values against Keras and by hand, weights, masks, reductions, shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from kerasish import losses, registry

rng = np.random.default_rng(0)


def numbers(*shape):
    return rng.normal(size=shape).astype("float32")


def probabilities(*shape):
    p = rng.uniform(0.05, 1.0, size=shape).astype("float32")
    return p / p.sum(-1, keepdims=True)


def unit(*shape):
    x = numbers(*shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def chances(*shape):
    return rng.uniform(0.02, 0.98, size=shape).astype("float32")


def bits(*shape):
    return rng.integers(0, 2, size=shape).astype("float32")


def one_hot(*shape, classes=4):
    return np.eye(classes, dtype="float32")[rng.integers(0, classes, size=shape)]


def indices(*shape, classes=4):
    return rng.integers(0, classes, size=shape)


CASES = {
    "mse": ("MeanSquaredError", {}, numbers(6, 3), numbers(6, 3)),
    "mse, sequence": ("MeanSquaredError", {}, numbers(6, 5, 3), numbers(6, 5, 3)),
    "mse, squeezed": ("MeanSquaredError", {}, numbers(6), numbers(6, 1)),
    "mse, squeezed sequence": ("MeanSquaredError", {}, numbers(6, 5, 1), numbers(6, 5)),
    "mae": ("MeanAbsoluteError", {}, numbers(6, 3), numbers(6, 3)),
    "mape": ("MeanAbsolutePercentageError", {}, numbers(6, 3), numbers(6, 3)),
    "msle": ("MeanSquaredLogarithmicError", {}, numbers(6, 3), numbers(6, 3)),
    "huber": ("Huber", {"delta": 0.7}, numbers(6, 3), numbers(6, 3)),
    "log_cosh": ("LogCosh", {}, numbers(6, 3), numbers(6, 3) * 30),
    "poisson": ("Poisson", {}, chances(6, 3), chances(6, 3)),
    "kl": ("KLDivergence", {}, probabilities(6, 3), probabilities(6, 3)),
    "cosine": ("CosineSimilarity", {}, numbers(6, 3), numbers(6, 3)),
    "cosine, axis": ("CosineSimilarity", {"axis": 1}, numbers(6, 3, 2), numbers(6, 3, 2)),
    "hinge": ("Hinge", {}, bits(6, 3), numbers(6, 3)),
    "hinge, signs": ("Hinge", {}, bits(6, 3) * 2 - 1, numbers(6, 3)),
    "squared_hinge": ("SquaredHinge", {}, bits(6, 3), numbers(6, 3)),
    "categorical_hinge": ("CategoricalHinge", {}, one_hot(6), numbers(6, 4)),
    "bce": ("BinaryCrossentropy", {}, bits(6, 3), chances(6, 3)),
    "bce, edges": ("BinaryCrossentropy", {}, bits(6, 3), bits(6, 3)),
    "bce, logits": ("BinaryCrossentropy", {"from_logits": True}, bits(6, 3), numbers(6, 3)),
    "bce, smooth": ("BinaryCrossentropy", {"label_smoothing": 0.1}, bits(6, 3), chances(6, 3)),
    "bce, axis": ("BinaryCrossentropy", {"axis": 1}, bits(6, 3, 2), chances(6, 3, 2)),
    "focal": ("BinaryFocalCrossentropy", {"gamma": 1.5}, bits(6, 3), chances(6, 3)),
    "focal, logits": (
        "BinaryFocalCrossentropy",
        {"from_logits": True, "apply_class_balancing": True, "label_smoothing": 0.2},
        bits(6, 3),
        numbers(6, 3),
    ),
    "ce": ("CategoricalCrossentropy", {}, one_hot(6), chances(6, 4)),
    "ce, sequence": ("CategoricalCrossentropy", {}, one_hot(6, 5), chances(6, 5, 4)),
    "ce, logits": (
        "CategoricalCrossentropy",
        {"from_logits": True, "label_smoothing": 0.1},
        one_hot(6),
        numbers(6, 4),
    ),
    "ce, axis": (
        "CategoricalCrossentropy",
        {"from_logits": True, "axis": 1},
        one_hot(6, 5).swapaxes(1, 2),
        numbers(6, 4, 5),
    ),
    "focal ce": ("CategoricalFocalCrossentropy", {}, one_hot(6), chances(6, 4)),
    "focal ce, logits": (
        "CategoricalFocalCrossentropy",
        {"from_logits": True, "alpha": 0.5, "gamma": 1.0, "label_smoothing": 0.1},
        one_hot(6),
        numbers(6, 4),
    ),
    "sparse": ("SparseCategoricalCrossentropy", {}, indices(6), chances(6, 4)),
    "sparse, column": ("SparseCategoricalCrossentropy", {}, indices(6, 1), chances(6, 4)),
    "sparse, logits": (
        "SparseCategoricalCrossentropy",
        {"from_logits": True},
        indices(6),
        numbers(6, 4),
    ),
    "sparse, sequence": (
        "SparseCategoricalCrossentropy",
        {"from_logits": True},
        indices(6, 5),
        numbers(6, 5, 4),
    ),
    "sparse, axis": (
        "SparseCategoricalCrossentropy",
        {"from_logits": True, "axis": 1},
        indices(6, 5),
        numbers(6, 4, 5),
    ),
    "sparse, ignored": (
        "SparseCategoricalCrossentropy",
        {"from_logits": True, "ignore_class": 2},
        np.array([0, 1, 2, 3, 2, 1]),
        numbers(6, 4),
    ),
    "sparse, all ignored": (
        "SparseCategoricalCrossentropy",
        {"ignore_class": -1},
        np.full(6, -1),
        chances(6, 4),
    ),
    "generalized": ("CategoricalGeneralizedCrossEntropy", {"q": 0.3}, indices(6), chances(6, 4)),
    "dice": ("Dice", {}, bits(6, 4, 4), chances(6, 4, 4)),
    "dice, axis": ("Dice", {"axis": (1, 2)}, bits(6, 4, 4), chances(6, 4, 4)),
    "tversky": ("Tversky", {"alpha": 0.3, "beta": 0.9}, bits(6, 4, 4), chances(6, 4, 4)),
    "tversky, axis": ("Tversky", {"axis": (1, 2)}, bits(6, 4, 4), chances(6, 4, 4)),
    "ctc": ("CTC", {}, np.array([[1, 2, 0], [3, 0, 0]]), numbers(2, 7, 4)),
    "circle": ("Circle", {}, indices(6, classes=2), unit(6, 5)),
    "circle, options": (
        "Circle",
        {"gamma": 10.0, "margin": 0.2, "remove_diagonal": False},
        indices(6, classes=2),
        unit(6, 5),
    ),
}


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def to_torch(*arrays):
    return [torch.as_tensor(array) for array in arrays]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "sum", "none", None])
def test_values_are_those_of_keras(keras, case, reduction):
    name, options, y_true, y_pred = CASES[case]
    expected = getattr(keras.losses, name)(reduction=reduction, **options)(y_true, y_pred)

    loss = getattr(losses, name)(reduction=reduction, **options)(*to_torch(y_true, y_pred))

    assert_close(loss.double(), expected.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][3].ndim == 2])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weight", ["ones", "mixed", "zeros"])
def test_weighted_values_are_those_of_keras(keras, case, reduction, weight):
    name, options, y_true, y_pred = CASES[case]
    rows = len(y_true)
    kinds = {"ones": np.ones(rows), "mixed": np.arange(rows) / 2, "zeros": np.zeros(rows)}
    weights = kinds[weight].astype("float32")
    oracle = getattr(keras.losses, name)(reduction=reduction, **options)
    expected = oracle(y_true, y_pred, sample_weight=weights)

    loss = getattr(losses, name)(reduction=reduction, **options)
    ours = loss(*to_torch(y_true, y_pred), sample_weight=weights)

    assert_close(ours.double(), expected.double(), rtol=1e-5, atol=1e-5)
