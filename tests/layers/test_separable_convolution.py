"""Depthwise and separable convolutions against Keras and torch."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_as_keras, check_layer

SHAPES = {1: (2, 9, 3), 2: (2, 9, 8, 3)}
WINDOWS = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": "same", "depth_multiplier": 2},
    {"kernel_size": 4, "padding": "same", "strides": 3, "activation": "relu"},
    {"kernel_size": 2, "dilation_rate": 2, "use_bias": False, "depth_multiplier": 3},
]


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("kwargs", WINDOWS, ids=str)
def test_depthwise_convolution_is_that_of_keras(rank, kwargs):
    keras = pytest.importorskip("keras")
    ours, theirs = (
        getattr(package.layers, f"DepthwiseConv{rank}D")(data_format="channels_last", **kwargs)
        for package in (__import__("kerasish"), keras)
    )

    assert_same_as_keras(ours, theirs, torch.randn(SHAPES[rank]))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("kwargs", WINDOWS, ids=str)
def test_separable_convolution_is_that_of_keras(rank, kwargs):
    keras = pytest.importorskip("keras")
    ours, theirs = (
        getattr(package.layers, f"SeparableConv{rank}D")(5, data_format="channels_last", **kwargs)
        for package in (__import__("kerasish"), keras)
    )

    assert_same_as_keras(ours, theirs, torch.randn(SHAPES[rank]))


@pytest.mark.parametrize("rank", [1, 2])
def test_layers_owe(rank):
    x, last = torch.randn(SHAPES[rank]), {"data_format": "channels_last"}
    depthwise = getattr(layers, f"DepthwiseConv{rank}D")(3, padding="same", **last)
    separable = getattr(layers, f"SeparableConv{rank}D")(5, 3, padding="same", **last)

    check_layer(depthwise, x, SHAPES[rank])
    check_layer(separable, x, (*SHAPES[rank][:-1], 5))


def test_depthwise_channels_do_not_mix():
    layer = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)
    x = torch.zeros(1, 3, 5, 5)
    x[:, 1] = torch.randn(5, 5)

    y = layer(x)

    assert y[:, 2:4].abs().sum() > 0  # the two outputs of channel 1
    assert y[:, [0, 1, 4, 5]].abs().sum() == 0


def test_separable_convolution_is_a_convolution_of_rank_one_kernels():
    layer = layers.SeparableConv2D(4, 3, depth_multiplier=2, padding="same")
    x = torch.randn(2, 3, 6, 6)
    y = layer(x)
    deep, point, bias = (torch.tensor(w) for w in layer.get_weights())
    kernel = torch.einsum("hwim,imo->hwio", deep, point[0, 0].unflatten(0, (3, 2)))

    whole = layers.Conv2D(4, 3, padding="same")
    whole(x)
    whole.set_weights([kernel.numpy(), bias.numpy()])

    assert_close(whole(x), y)


def test_initialisers_see_keras_layout():
    seen = []

    def initializer(shape, dtype=None):
        seen.append(tuple(shape))
        return torch.zeros(shape, dtype=dtype)

    layer = layers.SeparableConv2D(
        7,
        (3, 2),
        depth_multiplier=2,
        depthwise_initializer=initializer,
        pointwise_initializer=initializer,
    )
    layer.build((None, 5, 9, 9))

    assert seen == [(3, 2, 5, 2), (1, 1, 10, 7)]
