"""Residual blocks, highways and branches, against their formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import check_layer


def block(filters, strides=1, **kwargs):
    return [
        layers.Conv2D(filters, 3, strides=strides, padding="same", activation="relu", **kwargs),
        layers.Conv2D(filters, 3, padding="same", **kwargs),
    ]


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize(
    ("shortcut", "filters", "strides"),
    [
        ("identity", 4, 1),
        ("identity", 4, 2),
        ("pad", 4, 1),
        ("pad", 6, 1),
        ("pad", 6, 2),
        ("conv", 6, 2),
        ("conv", 4, 2),
        ("conv", 4, 1),
    ],
)
def test_layers_owe(shortcut, filters, strides, data_format):
    where = {"data_format": data_format}
    layer = layers.Residual(block(filters, strides, **where), shortcut, activation="relu", **where)
    shape, out = ((2, 4, 9, 8), (2, filters, -(-9 // strides), 8 // strides))
    if data_format == "channels_last":
        shape, out = ((s[0], s[2], s[3], s[1]) for s in (shape, out))

    check_layer(layer, torch.randn(shape), out)


def test_identity_shortcut_adds_the_input():
    convolution = layers.Conv2D(4, 3, padding="same")
    x = torch.randn(2, 4, 6, 6)

    y = layers.Residual(convolution, activation="relu")(x)

    assert_close(y, (x + convolution(x)).relu())


def test_padded_shortcut_takes_every_second_activation_and_adds_zero_channels():
    convolution = layers.Conv2D(5, 3, strides=2, padding="same")
    x = torch.randn(2, 3, 7, 8)

    y = layers.Residual(convolution, "pad")(x)

    added = y - convolution(x)
    assert_close(added[:, :3], x[:, :, ::2, ::2])
    assert_close(added[:, 3:], torch.zeros(2, 2, 4, 4))


def test_convolved_shortcut_is_one_by_one_without_bias():
    convolution = layers.Conv2D(5, 3, strides=2, padding="same")
    layer = layers.Residual(convolution, "conv")
    x = torch.randn(2, 3, 7, 8)

    y = layer(x)

    kernel = layer.shortcut.conv.weight
    assert kernel.shape == (5, 3, 1, 1)
    assert_close(y, convolution(x) + F.conv2d(x, kernel, stride=2))
    assert layer.count_params() == convolution.count_params() + 15


def test_shortcut_of_your_own():
    shortcut = [layers.AveragePooling2D(2), layers.Conv2D(5, 1)]
    layer = layers.Residual(layers.Conv2D(5, 2, strides=2), shortcut)
    x = torch.randn(2, 3, 8, 8)

    y = layer(x)

    expected = shortcut[1](shortcut[0](x)) + layer.block(x)
    assert_close(y, expected)


def test_vectors_and_sequences():
    vectors = layers.Residual(layers.Dense(6), "pad")
    x = torch.randn(4, 3)
    assert_close(vectors(x), vectors.block(x) + F.pad(x, (0, 3)))

    sequences = layers.Residual(layers.Conv1D(6, 3, strides=2, padding="same"), "conv")
    check_layer(sequences, torch.randn(2, 9, 4), (2, 5, 6))
    check_layer(layers.Residual(layers.Dense(6), "conv"), torch.randn(4, 3), (4, 6))


def test_unknown_image_sizes_tell_the_stride():
    layer = layers.Residual(block(6, strides=2), "pad")

    assert layer(layers.Input((4, None, None))).shape == (None, 6, None, None)
    assert layer(torch.zeros(1, 4, 7, 10)).shape == (1, 6, 4, 5)


def test_blocks_that_no_shortcut_fits_are_refused():
    x = layers.Input((4, 8, 8))
    with pytest.raises(ValueError, match=r'use shortcut="conv", or "pad" to add channels'):
        layers.Residual(block(6))(x)
    with pytest.raises(ValueError, match=r"makes \(None, 2, 8, 8\) of \(None, 4, 8, 8\)"):
        layers.Residual(block(2), "pad")(x)
    with pytest.raises(ValueError, match='give the block padding="same"'):
        layers.Residual(layers.Conv2D(4, 3))(x)
    with pytest.raises(ValueError, match="`shortcut` must be one of 'identity', 'pad', 'conv'"):
        layers.Residual(block(4), "zero")
    with pytest.raises(ValueError, match="make the shortcut give the same shape"):
        layers.Residual(block(4), layers.Conv2D(5, 1))(x)
    with pytest.raises(TypeError, match="Expected a layer"):
        layers.Residual(5)


def test_drop_rate_leaves_the_shortcut_alone():
    x = torch.randn(50, 3)
    dense = layers.Dense(3)
    layer = layers.Residual(dense, drop_rate=0.5)
    layer(x)

    y = layer(x, training=True)

    dropped = (y == x).all(dim=1)
    assert 10 < dropped.sum() < 40
    assert_close(y[~dropped], (x + 2 * dense(x))[~dropped])
    assert_close(layer(x, training=False), x + dense(x))


def test_plain_torch_modules_and_nested_blocks():
    inner = layers.Residual([nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()])
    outer = layers.Residual([inner, layers.BatchNormalization(axis=1)])
    x = torch.randn(2, 3, 5, 5)

    check_layer(outer, x, (2, 3, 5, 5), loads=False)

    names = outer.state_dict().keys()
    assert any(name.startswith("block.0.block.0.") for name in names)


def test_a_deep_network_of_blocks_has_the_published_number_of_layers():
    """ResNet-56 for small images: 6n + 2 weighted layers with n = 9."""
    stages = [(16, 1), (32, 2), (64, 2)]
    made = [layers.Conv2D(16, 3, padding="same", use_bias=False)]
    for filters, stride in stages:
        for index in range(9):
            first = stride if index == 0 else 1
            pair = [
                layers.Conv2D(filters, 3, strides=first, padding="same", use_bias=False),
                layers.BatchNormalization(axis=1),
                layers.ReLU(),
                layers.Conv2D(filters, 3, padding="same", use_bias=False),
                layers.BatchNormalization(axis=1),
            ]
            made.append(layers.Residual(pair, "pad", activation="relu"))
    made += [layers.GlobalAveragePooling2D(), layers.Dense(10)]
    model = nn.Sequential(*made)

    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)

    weighted = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == 56
    kernels = sum(m.weight.numel() for m in weighted) + 10
    # 3 → 16, then nine blocks of each width, the first convolution of a stage from half of it.
    by_hand = 9 * (3 * 16 + 18 * 16**2 + 16 * 32 + 17 * 32**2 + 32 * 64 + 17 * 64**2) + 64 * 10 + 10
    assert kernels == by_hand


# Highways


def test_highway_is_its_formula():
    x = torch.randn(5, 4)
    layer = layers.Highway(activation="tanh")

    y = layer(x)

    h, t = layer.block.linear, layer.gate.linear
    gate = torch.sigmoid(t(x))
    assert_close(y, gate * torch.tanh(h(x)) + (1 - gate) * x)
    assert_close(t.bias, torch.full((4,), -2.0))


@pytest.mark.parametrize("shape", [(2, 4), (2, 5, 4), (2, 4, 5, 6)], ids=str)
def test_highway_owes(shape):
    check_layer(layers.Highway(), torch.randn(shape), shape)


def test_highway_gate_decides():
    x, other = torch.randn(3, 4), layers.Dense(4)
    shut = layers.Highway(other, gate_bias=-1e9)
    shut(x)
    opened = layers.Highway(other, gate_bias=1e9)

    assert_close(shut(x), x)
    assert_close(opened(x), other(x))


def test_highway_needs_the_shape_kept():
    with pytest.raises(ValueError, match="must keep the input's shape"):
        layers.Highway(layers.Dense(5))(torch.zeros(2, 4))


def test_highway_of_images_in_both_axis_orders():
    x = torch.randn(2, 3, 5, 6)
    first, last = layers.Highway(), layers.Highway(data_format="channels_last")
    y = first(x)
    last(x.movedim(1, -1))
    last.set_weights(first.get_weights())

    assert_close(last(x.movedim(1, -1)).movedim(-1, 1), y)


def test_highway_and_residual_run_under_autocast():
    x = torch.randn(2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layers.Highway()(x).sum().backward()
        layers.Residual(layers.Dense(4))(x).sum().backward()


# Branches


def inception():
    return [
        layers.Conv2D(8, 1),
        [layers.Conv2D(4, 1), layers.Conv2D(12, 3, padding="same")],
        [layers.Conv2D(2, 1), layers.Conv2D(4, 5, padding="same")],
        [layers.MaxPooling2D(3, strides=1, padding="same"), layers.Conv2D(4, 1)],
    ]


def test_inception_module_concatenates_channels():
    branches = inception()
    layer = layers.Branches(branches)
    x = torch.randn(2, 6, 9, 9)

    y = check_layer(layer, x, (2, 28, 9, 9))

    assert_close(y[:, :8], branches[0](x))
    assert_close(y[:, 8:20], branches[1][1](branches[1][0](x)))


def test_branches_with_another_merge():
    left, right = layers.Dense(4), layers.Dense(4)
    x = torch.randn(2, 3)

    assert_close(
        layers.Branches([left, right], layers.Maximum())(x), torch.maximum(left(x), right(x))
    )
    with pytest.raises(TypeError, match="expected a list of branches"):
        layers.Branches(left)


def test_branches_of_sequences_and_channels_last_images():
    sequences = layers.Branches([layers.Conv1D(3, 1), layers.Conv1D(4, 3, padding="same")])
    assert sequences(torch.zeros(2, 7, 5)).shape == (2, 7, 7)
    last = {"data_format": "channels_last"}
    images = layers.Branches([layers.Conv2D(3, 1, **last), layers.Conv2D(4, 1, **last)], **last)
    assert images(torch.zeros(2, 5, 6, 2)).shape == (2, 5, 6, 7)
