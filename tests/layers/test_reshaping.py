"""Layers that move numbers, against Keras and torch."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

import kerasish
from kerasish import layers
from tests.layers.harness import assert_same_as_keras, check_layer

SHAPES = {1: (2, 9, 3), 2: (2, 9, 8, 3), 3: (2, 5, 6, 7, 3)}
LAST, FIRST = {"data_format": "channels_last"}, {"data_format": "channels_first"}


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "shape"),
    [
        ("Flatten", (), LAST, (2, 4, 5, 3)),
        ("Flatten", (), FIRST, (2, 4, 5, 3)),
        ("Flatten", (), FIRST, (2, 4, 5)),
        ("Flatten", (), LAST, (2, 4)),
        ("Reshape", ((6, 2),), {}, (2, 3, 4)),
        ("Reshape", ((-1, 2),), {}, (2, 3, 4)),
        ("Permute", ((3, 1, 2),), {}, (2, 3, 4, 5)),
        ("RepeatVector", (4,), {}, (2, 3)),
        ("ZeroPadding1D", (), LAST, SHAPES[1]),
        ("ZeroPadding1D", ((1, 2),), LAST, SHAPES[1]),
        ("ZeroPadding1D", (2,), FIRST, SHAPES[1]),
        ("ZeroPadding2D", (), LAST, SHAPES[2]),
        ("ZeroPadding2D", ((1, 2),), LAST, SHAPES[2]),
        ("ZeroPadding2D", (((1, 2), (0, 3)),), FIRST, SHAPES[2]),
        ("ZeroPadding3D", (((1, 2), (0, 3), (1, 0)),), LAST, SHAPES[3]),
        ("ZeroPadding3D", ((1, 2, 0),), FIRST, SHAPES[3]),
        ("Cropping1D", (), {}, SHAPES[1]),
        ("Cropping1D", ((0, 2),), {}, SHAPES[1]),
        ("Cropping2D", (), LAST, SHAPES[2]),
        ("Cropping2D", (((1, 2), (0, 3)),), LAST, SHAPES[2]),
        ("Cropping2D", ((1, 0),), FIRST, SHAPES[2]),
        ("Cropping3D", (), LAST, SHAPES[3]),
        ("Cropping3D", (((1, 2), (0, 3), (1, 0)),), LAST, SHAPES[3]),
    ],
)
def test_it_is_that_of_keras(name, args, kwargs, shape):
    keras = pytest.importorskip("keras")
    ours, theirs = (getattr(p, name)(*args, **kwargs) for p in (layers, keras.layers))

    x = torch.randn(shape)
    assert_same_as_keras(ours, theirs, x)
    check_layer(getattr(layers, name)(*args, **kwargs), x)


def test_flatten_gives_one_order_for_both_axis_orders():
    x = torch.randn(2, 3, 4, 5)

    first = layers.Flatten()(x)

    assert_close(layers.Flatten("channels_last")(x.movedim(1, -1)), first)
    assert_close(layers.Flatten("channels_last")(x), x.flatten(1))


def test_flatten_leaves_sequences_in_order():
    x = torch.randn(2, 6, 3)
    layer = layers.Flatten()

    assert_close(layer(x), x.flatten(1))
    assert layer.get_config()["data_format"] == "channels_last"


def test_flatten_of_numbers_makes_columns():
    assert layers.Flatten()(torch.zeros(5)).shape == (5, 1)


def test_flatten_remembers_the_axis_order_it_was_made_under():
    layer = layers.Flatten()
    config = layer.get_config()
    kerasish.config.set_image_data_format("channels_last")

    assert layers.Flatten.from_config(config).data_format == "channels_first"


def test_reshape_of_another_size_is_refused():
    layer = layers.Reshape((28, 29), name="image")

    with pytest.raises(
        ValueError, match=r'"image" cannot make samples of shape \(28, 29\).*812 nu'
    ):
        layer(layers.Input((784,)))
    with pytest.raises(ValueError, match="784"):
        layer(torch.zeros(1, 784))
    with pytest.raises(ValueError, match="at most one -1"):
        layers.Reshape((-1, -1))


def test_reshape_over_an_unknown_size():
    assert layers.Reshape((-1, 6))(layers.Input((None, 3, 2))).shape == (None, None, 6)


def test_reshape_takes_an_empty_batch():
    assert layers.Reshape((2, -1))(torch.zeros(0, 6)).shape == (0, 2, 3)


def test_permute_is_a_view():
    x = torch.randn(2, 3, 4)
    assert layers.Permute((2, 1))(x).data_ptr() == x.data_ptr()
    with pytest.raises(ValueError, match="must be an order of 1 … 2"):
        layers.Permute((0, 1))


def test_cropping_is_a_view_and_undoes_padding():
    x = torch.randn(2, 3, 5, 6)
    margins = ((1, 2), (3, 0))
    padded = layers.ZeroPadding2D(margins)(x)

    assert_close(padded, F.pad(x, (3, 0, 1, 2)))
    assert_close(layers.Cropping2D(margins)(padded), x)
    assert layers.Cropping2D(0)(x).data_ptr() == x.data_ptr()


def test_cropping_all_is_refused():
    with pytest.raises(ValueError, match="leaves nothing of spatial sizes"):
        layers.Cropping2D(3)(torch.zeros(1, 1, 6, 9))


@pytest.mark.parametrize("padding", [-1, (1, 2, 3), "same", ((1, 2), (-1, 0))], ids=str)
def test_bad_margins_are_refused(padding):
    with pytest.raises(ValueError, match="`padding` must be an integer >= 0, 2 of them, or"):
        layers.ZeroPadding2D(padding)
