"""Activation layers against Keras."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_signature, check_layer
from tests.layers.parity import assert_same_as_keras


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ReLU", {}),
        ("ReLU", {"max_value": 1.0, "negative_slope": 0.2, "threshold": 0.3}),
        ("LeakyReLU", {}),
        ("LeakyReLU", {"negative_slope": 0.1}),
        ("ELU", {}),
        ("ELU", {"alpha": 0.4}),
        ("PReLU", {}),
        ("PReLU", {"shared_axes": [1]}),
        ("PReLU", {"shared_axes": [1, 2], "alpha_initializer": "ones"}),
        ("Softmax", {}),
        ("Softmax", {"axis": 1}),
        ("Softmax", {"axis": [1, 2]}),
    ],
)
def test_activation_layers_match_keras(keras, name, arguments):
    ours, theirs = getattr(layers, name)(**arguments), getattr(keras.layers, name)(**arguments)

    assert_same_as_keras(ours, theirs, torch.randn(4, 3, 5))

    config = ours.get_config()
    assert type(ours).from_config(config).get_config() == config
    assert ours(layers.Input((3, 5))).shape == (None, 3, 5)


def test_masked_softmax_matches_keras(keras):
    x = torch.randn(3, 4)
    mask = torch.tensor([[True, True, False, False], [False] * 4, [True] * 4])

    y = layers.Softmax()(x, mask=mask)

    assert_close(y, keras.layers.Softmax()(x, mask=mask))
    assert_close(y[0, :2], torch.softmax(x[0, :2], -1))
    assert not y[1].any()


def test_softmax_remembers_its_logits_for_the_loss():
    x = torch.randn(2, 3)

    assert layers.Softmax()(x)._logits is x


def test_prelu_learns_one_slope_per_feature():
    layer = layers.PReLU(
        alpha_initializer="ones", alpha_regularizer="l2", alpha_constraint="non_neg"
    )
    layer(torch.randn(2, 3)).sum().backward()

    assert layer.alpha.shape == (3,)
    assert layer.alpha.grad is not None
    assert_close(layer.losses[0], torch.tensor(0.03))


def test_errors_of_activation_layers():
    with pytest.raises(ValueError, match="ReLU: `max_value` must be a number >= 0, got -1"):
        layers.ReLU(max_value=-1)
    with pytest.raises(ValueError, match="LeakyReLU: `negative_slope`"):
        layers.LeakyReLU(None)
    with pytest.raises(ValueError, match=r"PReLU .* needs to know the sizes"):
        layers.PReLU()(layers.Input((None, 3)))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.ReLU(), (3, 4)),
        (lambda: layers.ReLU(6.0, 0.1, 0.2), (3, 4)),
        (lambda: layers.LeakyReLU(), (3, 4)),
        (lambda: layers.ELU(), (3, 4)),
        (lambda: layers.PReLU(), (3, 4, 5)),
        (lambda: layers.Softmax(), (3, 4)),
        (lambda: layers.Softmax([1, 2]), (3, 4, 5)),
    ],
)
def test_what_every_layer_owes(make, shape):
    check_layer(make(), torch.randn(shape))


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax"])
def test_arguments_are_those_of_keras(name):
    keras = pytest.importorskip("keras")

    assert_same_signature(getattr(layers, name), getattr(keras.layers, name))
