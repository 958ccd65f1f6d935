"""Every layer over images, sequences or volumes gives the same numbers in both axis orders."""

import inspect

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.testing import assert_close

import kerasish
from kerasish import layers

# What each layer is made with, beside `data_format`.
ARGUMENTS = {
    **{f"Conv{rank}D": {"filters": 6, "kernel_size": 3, "groups": 2} for rank in (1, 2, 3)},
    **{
        f"Conv{rank}DTranspose": {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "same"}
        for rank in (1, 2, 3)
    },
    **{f"DepthwiseConv{rank}D": {"kernel_size": 3, "padding": "same"} for rank in (1, 2)},
    **{f"SeparableConv{rank}D": {"filters": 6, "kernel_size": 3} for rank in (1, 2)},
    **{f"ConvLSTM{rank}D": {"filters": 3, "kernel_size": 3} for rank in (1, 2, 3)},
    **{
        f"{kind}Pooling{rank}D": {"pool_size": 3, "strides": 2, "padding": "same"}
        for kind in ("Max", "Average")
        for rank in (1, 2, 3)
    },
    **{f"Global{kind}Pooling{rank}D": {} for kind in ("Max", "Average") for rank in (1, 2, 3)},
    **{
        f"Adaptive{kind}Pooling{rank}D": {"output_size": 3}
        for kind in ("Max", "Average")
        for rank in (1, 2, 3)
    },
    **{f"ZeroPadding{rank}D": {"padding": 2} for rank in (1, 2, 3)},
    **{f"Cropping{rank}D": {"cropping": 1} for rank in (2, 3)},
    **{f"UpSampling{rank}D": {"size": 2} for rank in (2, 3)},
    **{f"SpatialDropout{rank}D": {"rate": 0.5} for rank in (2, 3)},
    "Flatten": {},
    "CReLU": {},
    "LocalResponseNormalization": {},
    "CenterCrop": {"height": 4, "width": 5},
    "Resizing": {"height": 4, "width": 11},
}
# Layers whose result has no channels to compare, or that hold layers with a format of their own.
ELSEWHERE = {
    "Branches": "test_residual.py",
    "Highway": "test_residual.py",
    "Residual": "test_residual.py",
    "STFTSpectrogram": "its input is sound; the format is that of the result",
}
SIZES = {1: (9,), 2: (9, 8), 3: (5, 6, 7)}
CHANNELS = 4


def rank_of(name):
    return next((int(letter) for letter in name if letter.isdigit()), 2)


def channels_first_input(name):
    time = (3,) if "LSTM" in name else ()
    return torch.randn(2, *time, CHANNELS, *SIZES[rank_of(name)])


def to_last(x, name):
    return x.movedim(2 if "LSTM" in name else 1, -1)


def to_first(y, name):
    # What has lost its spatial axes is the same in both orders.
    return y.movedim(-1, 1) if y.dim() == rank_of(name) + 2 else y


@pytest.mark.parametrize("is_copied", [False, True], ids=["view", "copy"])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_layer_gives_the_same_numbers_in_both_axis_orders(name, is_copied):
    first, last = (
        getattr(layers, name)(**ARGUMENTS[name], data_format=f"channels_{order}")
        for order in ("first", "last")
    )
    x = channels_first_input(name).requires_grad_()
    moved = to_last(x, name)
    moved = moved.contiguous() if is_copied else moved
    y = first(x, training=False)
    last(moved, training=False)
    last.set_weights(first.get_weights())

    z = to_first(last(moved, training=False), name)

    assert_close(z, y, rtol=1e-4, atol=1e-5)
    weighting = torch.randn_like(y)
    (gradient,) = torch.autograd.grad((y * weighting).sum(), x)
    (other,) = torch.autograd.grad((z * weighting).sum(), x)
    assert_close(other, gradient, rtol=1e-4, atol=1e-5)
    for one, two in zip(first.keras_weights(), last.keras_weights(), strict=True):
        assert one.shape == two.shape


@pytest.mark.parametrize("name", [n for n in ARGUMENTS if rank_of(n) > 1])
def test_a_layer_follows_the_setting_for_images(name):
    x = channels_first_input(name)
    kerasish.config.set_image_data_format("channels_last")

    layer = getattr(layers, name)(**ARGUMENTS[name])
    y = layer(to_last(x, name), training=False)

    explicit = getattr(layers, name)(**ARGUMENTS[name], data_format="channels_last")
    assert y.shape == explicit(to_last(x, name), training=False).shape


@pytest.mark.parametrize("name", ["BatchNormalization", "GroupNormalization"])
def test_normalisations_take_the_channel_axis_of_the_setting(name):
    x = torch.randn(4, 6, 5, 3)
    arguments = {"groups": 2} if name.startswith("Group") else {}
    first = getattr(layers, name)(**arguments)
    y = first(x, training=True)

    kerasish.config.set_image_data_format("channels_last")
    last = getattr(layers, name)(**arguments)

    assert_close(last(x.movedim(1, -1), training=True).movedim(-1, 1), y)


def test_no_layer_with_an_axis_order_is_left_out():
    found = {
        value.__name__
        for name in layers.__all__
        if inspect.isclass(value := getattr(layers, name))
        and "data_format" in inspect.signature(value).parameters
        and "augmentation" not in value.__module__  # tested there, with their random numbers
    }

    assert found - ARGUMENTS.keys() - ELSEWHERE.keys() == set()


def small_resnet():
    """A functional network over channels-last images."""
    kerasish.config.set_image_data_format("channels_last")

    def convolve(x):
        x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    inputs = layers.Input((16, 16, 3))
    x = layers.ReLU()(convolve(inputs))
    for _ in range(2):
        x = layers.ReLU()(layers.Add()([x, convolve(layers.ReLU()(convolve(x)))]))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2)(x))
    return kerasish.Model(inputs, layers.Dense(10)(x))


def test_a_channels_last_network_copies_nothing_to_lay_it_out():
    model = small_resnet()
    model.train()
    forward, images = model.shortest_forward(), torch.randn(4, 16, 16, 3)
    ones = torch.ones(4, 10)  # a sum's own gradient, one number spread out, would be copied
    forward(images).backward(ones)  # later gradients are added to these, not copied

    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        forward(images).backward(ones)

    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts["aten::convolution"] == 5
    assert counts.get("aten::contiguous", 0) == counts.get("aten::clone", 0) == 0
