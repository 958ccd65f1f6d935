"""The two axis orders of images: what follows the setting, and that views stay views."""

import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import layers
from kerasish.layers.spatial import spatial_format

LAST = {"data_format": "channels_last"}
IMAGE_LAYERS = {
    "convolution": lambda **kw: layers.Conv2D(6, 3, padding="same", **kw),
    "strided convolution": lambda **kw: layers.Conv2D(6, 3, strides=2, padding="same", **kw),
    "transposed": lambda **kw: layers.Conv2DTranspose(6, 4, strides=2, padding="same", **kw),
    "depthwise": lambda **kw: layers.DepthwiseConv2D(3, padding="same", **kw),
    "separable": lambda **kw: layers.SeparableConv2D(6, 3, **kw),
    "max pooling": lambda **kw: layers.MaxPooling2D(3, 2, "same", **kw),
    "average pooling": lambda **kw: layers.AveragePooling2D(2, **kw),
    "adaptive pooling": lambda **kw: layers.AdaptiveAveragePooling2D(3, **kw),
    "global pooling": lambda **kw: layers.GlobalAveragePooling2D(**kw),
    "padding": lambda **kw: layers.ZeroPadding2D(1, **kw),
    "up-sampling": lambda **kw: layers.UpSampling2D(2, **kw),
    "bilinear": lambda **kw: layers.UpSampling2D(2, interpolation="bilinear", **kw),
    "local response": lambda **kw: layers.LocalResponseNormalization(**kw),
    "crelu": lambda **kw: layers.CReLU(**kw),
    "flatten": lambda **kw: layers.Flatten(**kw),
}


@pytest.mark.parametrize("name", IMAGE_LAYERS)
def test_an_image_layer_gives_the_same_numbers_in_both_axis_orders(name):
    x = torch.randn(2, 4, 9, 8)
    first, last = IMAGE_LAYERS[name](), IMAGE_LAYERS[name](**LAST)
    y = first(x)
    last(x.movedim(1, -1))
    last.set_weights(first.get_weights())

    z = last(x.movedim(1, -1).contiguous())

    assert_close(z.movedim(-1, 1) if z.dim() == 4 else z, y)


@pytest.mark.parametrize("name", sorted(set(IMAGE_LAYERS) - {"local response"}))
def test_a_channels_last_layer_hands_on_channels_last_memory(name):
    layer = IMAGE_LAYERS[name](**LAST)

    y = layer(torch.randn(2, 9, 8, 4))

    assert y.is_contiguous()  # so that the next layer, too, sees torch's channels-last format


@pytest.mark.parametrize("name", IMAGE_LAYERS)
def test_an_image_layer_follows_the_setting_for_images(name):
    kerasish.config.set_image_data_format("channels_last")

    layer = IMAGE_LAYERS[name]()
    expected = IMAGE_LAYERS[name](**LAST)

    assert layer(torch.zeros(2, 9, 8, 4)).shape == expected(torch.zeros(2, 9, 8, 4)).shape
    assert layer.get_config()["data_format"] == "channels_last"


def test_sequences_have_their_features_last_whatever_the_setting():
    assert spatial_format(1, None) == "channels_last"
    assert spatial_format(1, "channels_first") == "channels_first"
    assert spatial_format(2, None) == spatial_format(3, None) == "channels_first"


def test_a_whole_network_has_the_same_weights_in_both_axis_orders():
    def network(data_format):
        kerasish.config.set_image_data_format(data_format)
        made = [
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Residual(layers.Conv2D(8, 3, strides=2, padding="same"), "conv"),
            layers.Flatten(),
            layers.Dense(5),
        ]
        kerasish.config.set_image_data_format("channels_first")
        return torch.nn.Sequential(*made)

    x = torch.randn(2, 3, 12, 8)
    first, last = network("channels_first"), network("channels_last")
    y = first(x)
    last(x.movedim(1, -1))
    for one, other in zip(first, last, strict=True):
        other.set_weights(one.get_weights())

    assert_close(last(x.movedim(1, -1)), y)
