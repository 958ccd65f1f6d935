"""Regularizers give Keras's penalties."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import regularizers

EXAMPLES = [
    ("L1", {"l1": 0.3}),
    ("L2", {"l2": 0.2}),
    ("L1L2", {"l1": 0.3, "l2": 0.2}),
    ("L1L2", {}),
    ("OrthogonalRegularizer", {"factor": 0.7, "mode": "rows"}),
    ("OrthogonalRegularizer", {"factor": 0.7, "mode": "columns"}),
    ("L1", {}),
    ("L2", {}),
    ("OrthogonalRegularizer", {}),
]


@pytest.mark.parametrize(("name", "arguments"), EXAMPLES)
def test_penalty_is_that_of_keras(name, arguments):
    keras = pytest.importorskip("keras")
    x = torch.randn(4, 3)

    ours = getattr(regularizers, name)(**arguments)(x)

    assert ours.shape == ()
    assert_close(ours, getattr(keras.regularizers, name)(**arguments)(x).cpu())


def test_penalties_by_hand():
    x = torch.tensor([[1.0, -2.0], [0.0, 3.0]])

    assert regularizers.L1(0.5)(x).item() == 3.0
    assert regularizers.L2(0.5)(x).item() == 7.0
    assert regularizers.L1L2(0.5, 0.5)(x).item() == 10.0


@pytest.mark.parametrize(("name", "arguments"), EXAMPLES)
def test_config_makes_the_same_regularizer_again(name, arguments):
    regularizer = getattr(regularizers, name)(**arguments)
    x = torch.randn(4, 3)

    again = regularizers.deserialize(regularizers.serialize(regularizer))

    assert again.get_config() == regularizer.get_config()
    assert_close(again(x), regularizer(x))


def test_every_name_of_keras_is_here():
    keras = pytest.importorskip("keras")

    assert {n for n in dir(keras.regularizers) if n[0] != "_"} <= set(dir(regularizers))
    assert isinstance(regularizers.get("l2"), regularizers.L2)
    assert isinstance(regularizers.get("OrthogonalRegularizer"), regularizers.OrthogonalRegularizer)
    assert regularizers.get(None) is None


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "0.1", True])
def test_factor_must_be_a_non_negative_number(value):
    with pytest.raises(ValueError, match="L2: `l2` must be a non-negative finite number"):
        regularizers.L2(value)


def test_orthogonal_regularizer_refuses_other_modes_and_ranks():
    with pytest.raises(ValueError, match=r"unknown mode 'row'.*did you mean 'rows'"):
        regularizers.OrthogonalRegularizer(mode="row")
    with pytest.raises(ValueError, match="expects a matrix, got float32 tensor of shape"):
        regularizers.OrthogonalRegularizer()(torch.ones(2, 2, 2))


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="Unknown regularizer 'l3'"):
        regularizers.get("l3")
