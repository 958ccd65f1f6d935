"""Layers across channels, against their formulas and torch."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import check_layer


def test_crelu_interleaves_both_halves():
    x = torch.tensor([[3.0, -2.0, 0.5]])

    assert layers.CReLU()(x).tolist() == [[3.0, 0.0, 0.0, 2.0, 0.5, 0.0]]


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_crelu_doubles_the_channels_of_images(data_format):
    x = torch.randn(2, 3, 4, 5)
    images = x if data_format == "channels_first" else x.movedim(1, -1)

    y = check_layer(layers.CReLU(data_format), images)
    y = y if data_format == "channels_first" else y.movedim(-1, 1)

    assert_close(y[:, 0::2], x.relu())
    assert_close(y[:, 1::2], (-x).relu())
    assert_close(y[:, 0::2] - y[:, 1::2], x)


@pytest.mark.parametrize("shape", [(5, 6), (5, 7, 6)], ids=str)
def test_dense_after_crelu_looks_linear_at_first(shape):
    x = torch.randn(shape)
    dense = layers.Dense(4, kernel_initializer="looks_linear", use_bias=False)

    y = dense(layers.CReLU()(x))

    assert_close(y, x @ dense.kernel[0::2])


def test_deep_looks_linear_network_is_linear():
    network = torch.nn.Sequential()
    for _ in range(20):
        network.append(layers.Dense(6, kernel_initializer="looks_linear"))
        network.append(layers.CReLU())
    network.append(layers.Dense(3, kernel_initializer="looks_linear"))
    network(torch.zeros(1, 12))
    a, b = torch.randn(4, 12), torch.randn(4, 12)

    assert_close(network(2 * a - 3 * b), 2 * network(a) - 3 * network(b), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_convolution_after_crelu_looks_linear_at_first(data_format):
    where = {"data_format": data_format}
    layer = layers.Conv2D(4, 3, kernel_initializer="looks_linear", use_bias=False, **where)
    plain = layers.Conv2D(4, 3, use_bias=False, **where)
    x = torch.randn(2, 5, 5, 5)

    y = layer(layers.CReLU(**where)(x))
    plain(x)
    plain.set_weights([layer.get_weights()[0][:, :, 0::2]])

    assert_close(y, plain(x))


def test_maxout_is_the_largest_of_its_pieces():
    layer = layers.Maxout(3, pieces=4, bias_initializer="random_normal")
    x = torch.randn(5, 2)

    y = check_layer(layer, x, (5, 3))

    kernel, bias = (torch.tensor(w) for w in layer.get_weights())
    pieces = torch.stack([x @ kernel[:, k::4] + bias[k::4] for k in range(4)])
    assert_close(y, pieces.amax(0))


def test_maxout_can_be_the_absolute_value():
    layer = layers.Maxout(1, use_bias=False)
    layer(torch.zeros(1, 1))
    layer.set_weights([[[1.0, -1.0]]])

    assert layer(torch.tensor([[-3.0], [2.0]])).tolist() == [[3.0], [2.0]]


def test_maxout_works_along_sequences_and_refuses_bad_sizes():
    assert layers.Maxout(3)(torch.zeros(2, 7, 5)).shape == (2, 7, 3)
    with pytest.raises(ValueError, match="`pieces` must be a positive integer"):
        layers.Maxout(3, pieces=0)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_local_response_normalization_by_hand(data_format):
    x = torch.randn(2, 7, 3, 3) * 10
    layer = layers.LocalResponseNormalization(3, alpha=0.3, data_format=data_format)
    images = x if data_format == "channels_first" else x.movedim(1, -1)

    y = check_layer(layer, images)
    y = y if data_format == "channels_first" else y.movedim(-1, 1)

    for channel in range(7):
        around = x[:, max(channel - 1, 0) : channel + 2]
        energy = 2 + 0.3 / 3 * around.square().sum(1)
        assert_close(y[:, channel], x[:, channel] / energy**0.75)


def test_local_response_normalization_keeps_alexnet_shapes():
    layer = layers.LocalResponseNormalization()
    assert layer.compute_output_shape((None, 96, 27, 27)) == (None, 96, 27, 27)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_crelu_keeps_the_norm(data_format):
    x = torch.randn(3, 4, 6, 5)

    y = layers.CReLU(data_format)(x)

    assert_close(y.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1))
