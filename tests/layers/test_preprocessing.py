"""Rescaling against Keras and numbers worked by hand."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import layers
from tests.layers.harness import assert_same_as_keras, check_layer


@pytest.mark.parametrize("args", [(1 / 127.5, -1.0), (2.0,), (1 / 255,)], ids=str)
def test_rescaling_is_that_of_keras(args):
    keras = pytest.importorskip("keras")

    assert_same_as_keras(
        layers.Rescaling(*args), keras.layers.Rescaling(*args), torch.randn(2, 5, 3)
    )


def test_rescaling_owes():
    check_layer(layers.Rescaling(1 / 255, -0.5), torch.randn(2, 3, 4, 4), (2, 3, 4, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64], ids=str)
def test_integers_become_floats(dtype):
    x = torch.tensor([[0, 51, 255]], dtype=dtype)
    layer = layers.Rescaling(1 / 127.5, -1)

    assert_close(layer(x), torch.tensor([[-1.0, -0.6, 1.0]]))
    assert_close(layer(x.numpy()), torch.tensor([[-1.0, -0.6, 1.0]]))
    assert layer(layers.Input((3,), dtype=dtype)).dtype == torch.float32


def test_one_scale_for_each_channel_in_both_axis_orders():
    x = torch.ones(1, 3, 2, 2)
    first = layers.Rescaling(np.array([1.0, 2.0, 3.0]), [0.0, 1.0, 2.0])

    assert first(x)[0, :, 0, 0].tolist() == [1.0, 3.0, 5.0]

    kerasish.config.set_image_data_format("channels_last")
    last = layers.Rescaling([1.0, 2.0, 3.0], [0.0, 1.0, 2.0])
    assert last(x.movedim(1, -1))[0, 0, 0].tolist() == [1.0, 3.0, 5.0]


def test_scales_are_arguments_not_weights():
    layer = layers.Rescaling([1.0, 2.0, 3.0])
    layer(torch.ones(1, 3, 2, 2))

    assert layer.weights == []
    assert not layer.state_dict()
