"""Transposed convolutions against Keras and torch."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers.transposed_convolution import transposed_crops
from tests.layers.harness import assert_same_as_keras, check_layer

SHAPES = {1: (2, 7, 4), 2: (2, 5, 6, 4), 3: (2, 3, 4, 5, 4)}


def transposed(rank, *args, **kwargs):
    return getattr(layers, f"Conv{rank}DTranspose")(*args, **kwargs)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    "kwargs",
    [
        {"kernel_size": 3},
        {"kernel_size": 2, "strides": 3},
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": 4, "strides": 2, "padding": "same"},
        {"kernel_size": 5, "strides": 3, "padding": "same"},
        {"kernel_size": 1, "strides": 2, "padding": "same"},
        {"kernel_size": 2, "padding": "same"},
        {"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
        {"kernel_size": 4, "strides": 3, "padding": "same", "output_padding": 2},
        {"kernel_size": 3, "strides": 3, "output_padding": 1, "use_bias": False},
        {"kernel_size": 2, "dilation_rate": 2, "padding": "same", "activation": "relu"},
    ],
    ids=str,
)
def test_transposed_convolution_is_that_of_keras(rank, kwargs):
    keras = pytest.importorskip("keras")
    theirs = getattr(keras.layers, f"Conv{rank}DTranspose")(
        6, data_format="channels_last", **kwargs
    )
    ours = transposed(rank, 6, data_format="channels_last", **kwargs)

    assert_same_as_keras(ours, theirs, torch.randn(SHAPES[rank]))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layers_owe(rank):
    layer = transposed(rank, 6, 3, strides=2, padding="same", data_format="channels_last")
    size = [2 * n for n in SHAPES[rank][1:-1]]

    check_layer(layer, torch.randn(SHAPES[rank]), (2, *size, 6))


def test_even_crops_are_done_by_the_torch_module():
    layer = layers.Conv2DTranspose(3, 4, strides=2, padding="same")
    x = torch.randn(1, 2, 5, 5)

    y = layer(x)

    expected = F.conv_transpose2d(x, layer.conv.weight, layer.conv.bias, stride=2, padding=1)
    assert_close(y, expected, rtol=0, atol=0)
    assert layer.conv.padding == (1, 1)


def test_it_is_the_gradient_of_the_convolution():
    convolution = layers.Conv2D(3, 5, strides=2, padding="same", use_bias=False)
    layer = layers.Conv2DTranspose(2, 5, strides=2, padding="same", use_bias=False)
    x = torch.randn(1, 2, 8, 8, requires_grad=True)
    y = convolution(x)
    back = torch.randn_like(y)
    layer(back)
    layer.set_weights(convolution.get_weights())

    (gradient,) = torch.autograd.grad(y, x, back)

    assert_close(layer(back), gradient)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_same_gives_the_input_size_times_the_stride(kernel, stride):
    layer = layers.Conv1DTranspose(2, kernel, strides=stride, padding="same")

    assert layer(torch.zeros(1, 7, 3)).shape == (1, 7 * stride, 2)
    before, after = transposed_crops(kernel, stride, 1, "same", None)
    assert before + after == kernel - stride


def test_too_much_output_padding_is_refused():
    with pytest.raises(ValueError, match="`output_padding` must be less than `strides`"):
        layers.Conv2DTranspose(2, 3, strides=2, output_padding=2)
