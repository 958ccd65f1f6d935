"""The classics: shapes and numbers of weights as published."""

import itertools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers
from kerasish.applications import classics


def shapes(model, *kinds):
    """Output shapes of the layers of some kinds, without the batch axis."""
    chosen = [layer for layer in model.layers if isinstance(layer, kinds)]
    return [tuple(layer.output.shape[1:]) for layer in chosen]


def trainable(model):
    return sum(p.numel() for p in model.parameters())


def depth_of(model):
    """Layers with weights on the way from input to output; shortcuts are not on it."""
    weighty = (nn.Conv2d, nn.Linear)
    named = [name for name, m in model.named_modules() if isinstance(m, weighty)]
    return len([name for name in named if ".shortcut." not in name])


# LeNet


def test_lenet_has_the_published_shapes_and_parameters():
    model = classics.LeNet5()

    assert shapes(model, layers.Conv2D, layers.AveragePooling2D) == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
    ]
    assert shapes(model, layers.Dense) == [(120,), (84,), (10,)]
    assert model.count_params() == 156 + 2416 + 48120 + 10164 + 850
    assert depth_of(model) == 5


def test_lenet_takes_channels_last_images():
    kerasish.config.set_image_data_format("channels_last")

    model = classics.LeNet5(classes=3, classifier_activation=None)

    assert model.input_shape == (None, 32, 32, 1)
    assert model(torch.rand(2, 32, 32, 1)).shape == (2, 3)


# AlexNet


@pytest.fixture(scope="module")
def alexnet():
    return classics.AlexNet()


def test_alexnet_has_the_published_shapes(alexnet):
    assert alexnet.input_shape == (None, 3, 227, 227)
    assert shapes(alexnet, layers.Conv2D, layers.MaxPooling2D) == [
        (96, 55, 55),
        (96, 27, 27),
        (256, 27, 27),
        (256, 13, 13),
        (384, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (256, 6, 6),
    ]
    assert shapes(alexnet, layers.Dense) == [(4096,), (4096,), (1000,)]


def test_alexnet_has_62378344_parameters_in_eight_layers(alexnet):
    first = next(layer for layer in alexnet.layers if isinstance(layer, layers.Conv2D))

    assert alexnet.count_params() == 62_378_344
    assert first.get_weights()[0].size == 34_848
    assert depth_of(alexnet) == 8


def test_alexnet_pools_then_normalises_as_published(alexnet):
    kinds = [type(layer).__name__ for layer in alexnet.layers[:4]]
    norm = next(m for m in alexnet.modules() if isinstance(m, nn.LocalResponseNorm))
    x = torch.rand(1, 96, 2, 2) * 100

    # The middle channel, by the paper's formula: k + α Σ a², over five channels.
    want = x[:, 50] / (2 + 1e-4 * (x[:, 48:53] ** 2).sum(1)) ** 0.75

    assert kinds == ["Conv2D", "MaxPooling2D", "LocalResponseNormalization", "Conv2D"]
    assert_close(norm(x)[:, 50], want)


# VGG


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_vgg_has_its_depth_and_the_weights_of_its_convolutions(depth):
    model = classics.VGG(depth, classes=2, input_shape=(3, 32, 32))
    widths = [3, *[p.shape[0] for p in model.parameters() if p.dim() == 4]]
    convolutions = sum(9 * a * b + b for a, b in itertools.pairwise(widths))

    assert depth_of(model) == depth
    assert model.count_params() == convolutions + 513 * 4096 + 4097 * 4096 + 4097 * 2


def test_vgg_of_another_depth_is_refused():
    with pytest.raises(ValueError, match=r"`depth` must be one of \[11, 13, 16, 19\], got 12"):
        classics.VGG(12)


# ResNets for CIFAR


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_cifar_resnets_have_the_published_numbers_of_parameters(depth, millions):
    model = classics.CIFARResNet(depth)

    assert depth_of(model) == depth
    assert trainable(model) / 1e6 == pytest.approx(millions, abs=0.05 if depth == 110 else 0.006)


@pytest.mark.slow
def test_cifar_resnet_1202_can_be_made():
    model = classics.CIFARResNet(1202)

    assert depth_of(model) == 1202
    assert trainable(model) / 1e6 == pytest.approx(19.4, abs=0.05)


def test_projection_shortcuts_add_two_small_convolutions():
    padded, projected = classics.CIFARResNet(20), classics.CIFARResNet(20, shortcut="conv")

    assert trainable(padded) == 269_722
    assert trainable(projected) - trainable(padded) == 16 * 32 + 32 * 64


def test_stages_halve_the_image_and_double_the_channels():
    model = classics.CIFARResNet(20)

    got = shapes(model, layers.Residual)

    assert got == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 3 + [(64, 8, 8)] * 3


KINDS = ["residual", "stochastic_depth", "shake_shake", "highway", "plain"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_every_kind_learns_and_is_saved(kind, data_format, tmp_path):
    kerasish.config.set_image_data_format(data_format)
    shape = (3, 16, 16) if data_format == "channels_first" else (16, 16, 3)
    model = classics.CIFARResNet(8, 3, input_shape=shape, kind=kind, filters=4)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = torch.rand(6, *shape), torch.arange(6) % 3

    before = model.get_weights()
    model.fit(x, y, epochs=1, batch_size=3, verbose=0)
    model.save(tmp_path / "m.kerasish")
    again = kerasish.load_model(tmp_path / "m.kerasish")

    changed = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(changed)
    assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=0)


def test_stochastic_depth_skips_later_blocks_more_often():
    model = classics.CIFARResNet(20, kind="stochastic_depth", drop_rate=0.9)

    rates = [m.rate for m in model.modules() if isinstance(m, layers.StochasticDepth)]

    assert rates == pytest.approx([0.1 * n for n in range(1, 10)])


def test_shake_shake_has_two_branches_in_each_block():
    one = classics.CIFARResNet(8, kind="residual")
    two = classics.CIFARResNet(8, kind="shake_shake")

    def convolutions(model):
        return sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in model.modules())

    assert convolutions(two) - 1 == 2 * (convolutions(one) - 1)
    assert two(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_an_untrained_highway_nearly_passes_its_input():
    model = classics.CIFARResNet(8, kind="highway")
    block = next(layer for layer in model.layers if isinstance(layer, layers.Highway))
    x = torch.rand(2, 16, 8, 8)

    gate = block.gate(x)

    assert float(gate.detach().mean()) < 0.3


def test_blocks_are_stages_with_names():
    model = classics.CIFARResNet(8)

    model.freeze("stage[1-2]*")

    frozen = [stage.name for stage in model.stages() if not stage.trainable]
    assert frozen == ["stage1", "stage2"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"depth": 21}, "`depth` must be 6n \\+ 2, such as 20, 56 or 110, got 21"),
        ({"depth": 2}, "got 2"),
        ({"depth": 20.0}, "got 20.0"),
        ({"kind": "dense"}, "`kind` must be one of"),
        ({"shortcut": "none"}, "shortcut"),
    ],
)
def test_wrong_arguments_are_explained(kwargs, message):
    with pytest.raises(ValueError, match=message):
        classics.CIFARResNet(**kwargs)
