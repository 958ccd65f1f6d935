"""Layers around another layer, against Keras."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_signature, check_layer
from tests.layers.parity import assert_same_as_keras, in_peace


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


def test_wrapper_passes_the_call_on():
    inner = layers.Dense(3)
    layer = layers.Wrapper(inner)

    y = layer(torch.randn(2, 4))

    assert y.shape == (2, 3)
    assert layer.keras_weights()[0].tensor is inner.linear.weight
    assert layer(layers.Input((4,))).shape == (None, 3)


def test_time_distributed_matches_keras(keras):
    ours = layers.TimeDistributed(layers.Dense(4, activation="tanh"))
    theirs = keras.layers.TimeDistributed(keras.layers.Dense(4, activation="tanh"))

    assert_same_as_keras(ours, theirs, torch.randn(3, 5, 2))


def test_time_distributed_convolution_matches_keras(keras):
    ours = layers.TimeDistributed(layers.Conv2D(4, 3, data_format="channels_last"))
    theirs = keras.layers.TimeDistributed(keras.layers.Conv2D(4, 3, data_format="channels_last"))

    assert_same_as_keras(ours, theirs, torch.randn(2, 3, 6, 5, 2))


def test_time_distributed_takes_any_module_and_unknown_lengths():
    inputs = layers.Input((None, 3, 8, 8))

    y = layers.TimeDistributed(nn.Conv2d(3, 5, 3))(inputs)

    assert y.shape == (None, None, 5, 6, 6)
    layer = layers.TimeDistributed(nn.Conv2d(3, 5, 3))
    x = torch.randn(2, 4, 3, 8, 8)
    assert_close(layer(x)[:, 1], layer.layer(x[:, 1]), rtol=1e-4, atol=1e-5)


def test_time_distributed_passes_masks_on():
    tokens = layers.Input((6,), dtype="int64")
    x = layers.Embedding(5, 3, mask_zero=True)(tokens)

    y = layers.TimeDistributed(layers.Dense(4))(x)

    assert y.shape == (None, 6, 4)
    assert y.mask is x.mask
    words = torch.randn(2, 3, 5, 4)
    mask = torch.rand(2, 3, 5) > 0.4
    lstm = layers.LSTM(2)
    layer = layers.TimeDistributed(lstm)
    assert_close(layer(words, mask=mask)[:, 1], lstm(words[:, 1], mask=mask[:, 1]))


@pytest.mark.parametrize("iterations", [1, 3])
def test_spectral_normalization_matches_keras(keras, iterations):
    x = torch.randn(5, 3)
    ours = layers.SpectralNormalization(layers.Dense(4), iterations)
    theirs = keras.layers.SpectralNormalization(keras.layers.Dense(4), iterations)
    ours(x, training=False)
    in_peace(theirs, x)
    in_peace(theirs.set_weights, ours.get_weights())

    for _ in range(2):
        assert_close(ours(x, training=True), theirs(x, training=True))
    assert_close(ours(x, training=False), theirs(x, training=False))


def test_spectral_normalization_bounds_the_largest_singular_value():
    layer = layers.SpectralNormalization(
        layers.Conv2D(6, 3, kernel_initializer="random_normal"), 30
    )

    layer(torch.randn(2, 3, 8, 8))

    kernel = torch.from_numpy(layer.layer.get_weights()[0]).reshape(-1, 6)
    assert_close(torch.linalg.matrix_norm(kernel, 2), torch.tensor(1.0), rtol=1e-3, atol=0)
    frozen = kernel.clone()
    layer(torch.randn(2, 3, 8, 8), training=False)
    assert_close(torch.from_numpy(layer.layer.get_weights()[0]).reshape(-1, 6), frozen)


def test_spectral_normalization_leaves_a_kernel_of_zeros():
    layer = layers.SpectralNormalization(layers.Dense(4, kernel_initializer="zeros"))

    assert layer(torch.randn(2, 3)).isfinite().all()
    assert not layer.layer.linear.weight.any()


def test_configurations_make_the_same_layers():
    for layer in (
        layers.Wrapper(layers.Dense(3, name="inner")),
        layers.TimeDistributed(layers.Dense(3)),
        layers.SpectralNormalization(layers.Dense(3), power_iterations=2),
    ):
        again = type(layer).from_config(layer.get_config())
        assert again.layer.get_config()["units"] == 3
        assert again(torch.randn(2, 5, 4)).shape == (2, 5, 3)


def test_errors_of_wrappers():
    with pytest.raises(TypeError, match=r"Expected a layer, an nn\.Module or a function"):
        layers.TimeDistributed(3)
    with pytest.raises(ValueError, match="has no kernel or embeddings to normalise"):
        layers.SpectralNormalization(layers.ReLU())(torch.ones(2, 3))
    with pytest.raises(ValueError, match="`power_iterations` must be a positive integer"):
        layers.SpectralNormalization(layers.Dense(2), 0)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.Wrapper(layers.Dense(3)), (2, 6, 5)),
        (lambda: layers.TimeDistributed(layers.Dense(3)), (2, 6, 5)),
        (lambda: layers.SpectralNormalization(layers.Dense(3)), (2, 6, 5)),
    ],
)
def test_what_every_layer_owes(make, shape):
    check_layer(make(), torch.randn(shape))


@pytest.mark.parametrize("name", ["Wrapper", "TimeDistributed", "SpectralNormalization"])
def test_arguments_are_those_of_keras(name):
    keras = pytest.importorskip("keras")

    assert_same_signature(getattr(layers, name), getattr(keras.layers, name))
