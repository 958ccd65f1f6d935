"""Convolutions against torch, Keras and sums worked by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers
from kerasish.layers.windows import same_padding
from tests.layers.harness import assert_same_as_keras, check_layer

SHAPES = {1: (2, 9, 4), 2: (2, 9, 8, 4), 3: (2, 5, 6, 7, 4)}
RANKS = [1, 2, 3]


def conv(rank, *args, **kwargs):
    return getattr(layers, f"Conv{rank}D")(*args, **kwargs)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"kernel_size": 3},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 2, "padding": "same"},
        {"kernel_size": 4, "padding": "same", "strides": 3},
        {"kernel_size": 3, "padding": "same", "strides": 2},
        {"kernel_size": 1, "padding": "same", "strides": 2},
        {"kernel_size": 2, "padding": "same", "dilation_rate": 2},
        {"kernel_size": 2, "dilation_rate": 3, "groups": 2, "use_bias": False},
        {"kernel_size": 2, "groups": 4, "activation": "softmax"},
    ],
    ids=str,
)
def test_convolution_is_that_of_keras(rank, kwargs):
    keras = pytest.importorskip("keras")
    x = torch.randn(SHAPES[rank])
    theirs = getattr(keras.layers, f"Conv{rank}D")(8, data_format="channels_last", **kwargs)

    assert_same_as_keras(conv(rank, 8, data_format="channels_last", **kwargs), theirs, x)


@pytest.mark.parametrize("kwargs", [{"strides": 2}, {"dilation_rate": 2}, {}], ids=str)
def test_causal_convolution_is_that_of_keras(kwargs):
    keras = pytest.importorskip("keras")
    theirs = keras.layers.Conv1D(8, 3, padding="causal", **kwargs)

    assert_same_as_keras(
        layers.Conv1D(8, 3, padding="causal", **kwargs), theirs, torch.randn(2, 9, 4)
    )


def test_causal_convolution_does_not_see_the_future():
    layer = layers.Conv1D(3, 4, padding="causal", dilation_rate=2)
    x = torch.randn(1, 20, 2)
    changed = x.clone()
    changed[:, 12:] += 1

    assert_close(layer(x)[:, :12], layer(changed)[:, :12])
    assert (layer(x)[:, 12:] != layer(changed)[:, 12:]).any()


@pytest.mark.parametrize("rank", RANKS)
def test_layers_owe(rank):
    x = torch.randn(SHAPES[rank])
    layer = conv(rank, 6, 3, padding="same", data_format="channels_last", activation="relu")

    check_layer(layer, x, (*SHAPES[rank][:-1], 6))


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("kwargs", [{"strides": 2}, {"padding": "same", "strides": 2}], ids=str)
def test_both_axis_orders_give_the_same_numbers(rank, kwargs):
    x = torch.randn(SHAPES[rank])
    first = conv(rank, 5, 3, data_format="channels_first", **kwargs)
    last = conv(rank, 5, 3, data_format="channels_last", **kwargs)
    first(x.movedim(-1, 1)), last(x)
    last.set_weights(first.get_weights())

    assert_close(last(x), first(x.movedim(-1, 1)).movedim(1, -1))


def test_channels_last_images_are_not_copied(monkeypatch):
    seen = {}
    layer = layers.Conv2D(16, 3, padding="same", data_format="channels_last")
    x = torch.randn(4, 10, 12, 8)
    layer(x)
    layer.conv.register_forward_hook(lambda m, args, y: seen.update(x=args[0], y=y))

    y = layer(x)

    assert seen["x"].data_ptr() == x.data_ptr()
    assert seen["x"].is_contiguous(memory_format=torch.channels_last)
    assert y.data_ptr() == seen["y"].data_ptr()
    assert y.is_contiguous()


def test_axis_order_follows_the_setting_for_images_but_not_for_sequences():
    assert layers.Conv2D(1, 1).data_format == "channels_first"
    assert layers.Conv1D(1, 1).data_format == "channels_last"

    kerasish.config.set_image_data_format("channels_last")

    layer = layers.Conv2D(5, 3)
    assert layer(torch.zeros(1, 8, 9, 3)).shape == (1, 6, 7, 5)
    assert layer.get_config()["data_format"] == "channels_last"


@pytest.mark.parametrize("kernel", [1, 3, (5, 3)])
def test_even_same_padding_is_done_by_the_torch_module(kernel, monkeypatch):
    layer = layers.Conv2D(2, kernel, padding="same")
    x = torch.randn(1, 3, 8, 8)
    layer(x)
    monkeypatch.setattr(F, "pad", None)

    kh, kw = layer.kernel_size
    assert layer.conv.padding == (kh // 2, kw // 2)
    assert_close(layer(x), F.conv2d(x, layer.conv.weight, layer.conv.bias, padding="same"))


def test_same_padding_by_hand():
    assert same_padding(5, 3, 1) == (1, 1)
    assert same_padding(5, 2, 1) == (0, 1)  # the odd one at the end
    assert same_padding(224, 7, 2) == (2, 3)
    assert same_padding(224, 3, 2) == (0, 1)
    assert same_padding(225, 3, 2) == (1, 1)
    assert same_padding(6, 1, 4) == (0, 0)
    assert same_padding(7, 3, 1, dilation=2) == (2, 2)


# Known answers


@pytest.mark.parametrize("size", [5, 12, 227])
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(3, 1, 1), (5, 2, 0), (3, 3, 2), (1, 2, 1)])
def test_output_size_is_that_of_the_formula(size, kernel, stride, pad):
    model = nn.Sequential(layers.ZeroPadding2D(pad), layers.Conv2D(2, kernel, strides=stride))

    out = model(torch.zeros(1, 1, size, size)).shape[-1]

    assert out == (size - kernel + 2 * pad) // stride + 1


def test_first_convolution_of_alexnet():
    layer = layers.Conv2D(96, 11, strides=4)

    assert layer.compute_output_shape((None, 3, 227, 227)) == (None, 96, 55, 55)
    assert layer.conv.weight.numel() == 34_848
    assert layer.count_params() == 34_848 + 96


def test_alexnet_shapes_and_parameters():
    channels, x = 3, layers.Input((3, 227, 227))
    shapes, parameters = [], []
    for filters, kernel, stride, padding, pools in [
        (96, 11, 4, "valid", True),
        (256, 5, 1, "same", True),
        (384, 3, 1, "same", False),
        (384, 3, 1, "same", False),
        (256, 3, 1, "same", True),
    ]:
        layer = layers.Conv2D(filters, kernel, strides=stride, padding=padding)
        x = layer(x)
        parameters.append(layer.count_params() == kernel**2 * channels * filters + filters)
        shapes.append(x.shape[1:])
        if pools:
            x = layers.MaxPooling2D(3, strides=2)(x)
            shapes.append(x.shape[1:])
        channels = filters

    assert all(parameters)
    assert shapes == [
        (96, 55, 55),
        (96, 27, 27),
        (256, 27, 27),
        (256, 13, 13),
        (384, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (256, 6, 6),
    ]


def test_lenet_shapes():
    x = layers.Input((1, 32, 32))
    for layer, shape in [
        (layers.Conv2D(6, 5), (6, 28, 28)),
        (layers.AveragePooling2D(2, 2), (6, 14, 14)),
        (layers.Conv2D(16, 5), (16, 10, 10)),
        (layers.AveragePooling2D(2, 2), (16, 5, 5)),
        (layers.Flatten(), (400,)),
    ]:
        x = layer(x)
        assert x.shape == (None, *shape)


def test_three_small_filters_see_as_far_as_a_large_one_with_fewer_weights():
    c = 6
    small = nn.Sequential(*(layers.Conv2D(c, 3, use_bias=False) for _ in range(3)))
    large = layers.Conv2D(c, 7, use_bias=False)
    x = torch.randn(1, c, 7, 7, requires_grad=True)

    y = small(x)

    assert y.shape == large(x).shape == (1, c, 1, 1)
    y.sum().backward()
    assert (x.grad != 0).all()
    assert sum(p.numel() for p in small.parameters()) == 27 * c * c
    assert large.count_params() == 49 * c * c


def test_bottleneck_and_factored_filters_save_weights():
    c, n = 16, 5
    bottleneck = nn.Sequential(
        layers.Conv2D(c // 2, 1, use_bias=False),
        layers.Conv2D(c // 2, 3, padding="same", use_bias=False),
        layers.Conv2D(c, 1, use_bias=False),
    )
    factored = nn.Sequential(
        layers.Conv2D(c, (1, n), use_bias=False), layers.Conv2D(c, (n, 1), use_bias=False)
    )
    x = torch.zeros(1, c, 9, 9)

    assert bottleneck(x).shape == x.shape
    assert sum(p.numel() for p in bottleneck.parameters()) == 13 * c * c // 4  # 1/2 + 9/4 + 1/2
    assert factored(x).shape == layers.Conv2D(c, n)(x).shape
    assert sum(p.numel() for p in factored.parameters()) == 2 * n * c * c


# Rules and errors


def test_weights_are_initialised_regularised_and_constrained_in_keras_layout():
    layer = layers.Conv2D(
        5, (2, 3), kernel_initializer="he_normal", kernel_regularizer="l2", bias_initializer="ones"
    )
    layer.build((None, 4, 9, 9))

    kernel, bias = layer.get_weights()
    assert kernel.shape == layer.kernel.shape == (2, 3, 4, 5)
    assert (bias == 1).all()
    assert_close(torch.tensor(kernel), layer.conv.weight.detach().permute(2, 3, 1, 0))
    assert_close(layer.losses[0].item(), 0.01 * float((kernel**2).sum()))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"filters": 0}, "`filters` must be a positive integer, got 0"),
        ({"filters": "64"}, "got '64' \\(str\\)"),
        ({"kernel_size": (3, 3, 3)}, "`kernel_size` must be an integer >= 1 or 2 of them"),
        ({"strides": 0}, "`strides` must be an integer >= 1"),
        ({"padding": "causal"}, "`padding` must be one of 'valid', 'same'"),
        ({"filters": 5, "groups": 2}, "5 filters do not split into `groups` = 2"),
        ({"data_format": "chanels_last"}, "did you mean 'channels_last'"),
    ],
)
def test_bad_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        layers.Conv2D(**{"filters": 4, "kernel_size": 3, **kwargs})


def test_flat_input_is_refused_with_advice():
    layer = layers.Conv2D(4, 3, name="first")

    with pytest.raises(ValueError, match=r'"first" expects 4-D input \(batch, channels, height, w'):
        layer(torch.zeros(32, 784))
    with pytest.raises(ValueError, match="Add a Reshape layer before it, or pass images"):
        layer(layers.Input((784,)))


def test_integer_pixels_are_refused_with_advice():
    with pytest.raises(TypeError, match=r"got uint8 tensor of .* Put Rescaling\(1 / 255\) before"):
        layers.Conv2D(4, 3)(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


def test_channels_on_the_other_side_are_pointed_out():
    layer = layers.Conv2D(4, 3)
    layer(torch.zeros(2, 3, 16, 16))

    with pytest.raises(ValueError, match="channels seem to be on the other side"):
        layer(torch.zeros(2, 16, 16, 3))


def test_unknown_channels_and_uneven_groups_are_refused():
    with pytest.raises(ValueError, match="needs to know the number of channels"):
        layers.Conv2D(4, 3)(layers.Input((None, 8, 8)))
    with pytest.raises(ValueError, match="3 input channels do not split into `groups` = 2"):
        layers.Conv2D(4, 3, groups=2)(torch.zeros(1, 3, 8, 8))


def test_unknown_image_sizes_work():
    for padding, shape in [("same", (None, 4, None, None)), ("valid", (None, 4, None, None))]:
        layer = layers.Conv2D(4, 3, strides=2, padding=padding)
        assert layer(layers.Input((3, None, None))).shape == shape
        layer(torch.zeros(1, 3, 9, 11))


def _standardized(kernel):
    axes = tuple(range(kernel.ndim - 1))
    return (kernel - kernel.mean(axes, keepdim=True)) / kernel.std(axes, correction=0, keepdim=True)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("rank", RANKS)
def test_convolution_op_may_be_overridden_or_called_with_another_kernel(rank, padding, data_format):
    cls = getattr(layers, f"Conv{rank}D")

    class ByOverride(cls):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, _standardized(kernel))

    class ByCall(cls):
        def call(self, inputs):
            axes = (-1,) if self.data_format == "channels_last" else (-1, *[1] * self.rank)
            y = self.convolution_op(inputs, _standardized(self.kernel)) + self.bias.view(axes)
            return self.activation(y)

    options = {"padding": padding, "data_format": data_format, "activation": "tanh", "strides": 2}
    made = [kind(6, 3, bias_initializer="ones", **options) for kind in (ByOverride, ByCall, cls)]
    x = torch.randn(SHAPES[rank])
    x = x if data_format == "channels_last" else x.movedim(-1, 1)
    for layer in made:
        layer.build(tuple(x.shape))
    kernel, bias = made[0].get_weights()
    made[1].set_weights([kernel, bias])
    made[2].set_weights([_standardized(torch.tensor(kernel)).numpy(), bias])

    by_override, by_call, plain = (layer(x) for layer in made)

    assert_close(by_override, plain)
    assert_close(by_call, plain)
    model = kerasish.Sequential([kerasish.Input(x.shape[1:]), made[0]])
    assert_close(model.predict(x, verbose=0), plain.detach().numpy())
    by_override.sum().backward()
    plain.sum().backward()
    assert made[0].conv.weight.grad.abs().sum() > 0
    assert_close(made[0].conv.bias.grad, made[2].conv.bias.grad)


def test_convolution_op_pads_causally():
    class Doubled(layers.Conv1D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, kernel * 2)

    layer, plain = (kind(4, 3, padding="causal") for kind in (Doubled, layers.Conv1D))
    x = torch.randn(SHAPES[1])
    layer(x), plain(x)
    plain.set_weights(layer.get_weights())

    assert_close(layer(x), plain(x) * 2)


@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D", "Conv1D", "MaxPooling2D"])
def test_a_configuration_has_a_size_for_each_axis_as_in_keras(kind):
    keras = pytest.importorskip("keras")
    arguments = {"Conv2D": (4, 5), "Conv1D": (4, 5)}.get(kind, (5,))

    ours = getattr(layers, kind)(*arguments)
    theirs = getattr(keras.layers, kind)(*arguments).get_config()

    config = ours.get_config()
    for name in ("kernel_size", "strides", "dilation_rate", "pool_size"):
        assert config.get(name) == theirs.get(name)
    assert type(ours).from_config(config).get_config() == config


@pytest.mark.parametrize("strides", [2, (1, 3)], ids=str)
@pytest.mark.parametrize("channels", [3, 8, 15, 16])
def test_a_strided_window_of_one_trains_on_few_channels_that_come_last(channels, strides):
    # torch 2.15 ends the process here: its gradient of the kernel writes past its memory.
    x = torch.randn(2, 64, 62, channels)
    layer = layers.Conv2D(8, 1, strides, data_format="channels_last")
    y = layer(x)
    slope = torch.randn_like(y)
    y.backward(slope)

    kernel = layer.conv.weight.detach().flatten(1).clone().requires_grad_()
    down, across = (strides, strides) if isinstance(strides, int) else strides
    expected = F.linear(x[:, ::down, ::across], kernel, layer.conv.bias)
    expected.backward(slope)

    assert_close(y, expected)
    assert_close(layer.conv.weight.grad.flatten(1), kernel.grad, atol=1e-3, rtol=1e-4)


def test_code_of_ones_own_calls_a_convolution_with_its_strides():
    class Own(layers.Conv2D):
        def call(self, x):
            return self.conv(x)

    assert Own(4, 1, strides=2)(torch.rand(1, 3, 8, 8)).shape == (1, 4, 4, 4)


def test_a_strided_window_of_one_is_seen_as_such():
    model = kerasish.Sequential([layers.Input((8, 9, 9)), layers.Conv2D(4, 1, strides=2)])
    x = torch.randn(2, 8, 9, 9)

    assert_close(model.to_torch()(x), model(x))
    assert model.layers[0].strides == (2, 2)
    again = kerasish.models.model_from_json(model.to_json())
    assert again.layers[0].get_config()["strides"] == (2, 2)
