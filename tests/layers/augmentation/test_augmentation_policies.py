"""Policies: each operation against torchvision, what is chosen how often, averages of chains."""

import warnings

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers.augmentation import pixels
from kerasish.layers.augmentation.draws import Draws, sample_keys
from kerasish.layers.augmentation.operations import OPERATIONS, STANDARD_SPACE, WIDE_SPACE
from kerasish.layers.augmentation.warp import warp


def functional():
    return pytest.importorskip("torchvision.transforms.v2.functional")


def draws(count=4000):
    return Draws(sample_keys(torch.arange(count), 11))


def images(count=2, size=(16, 20)):
    return torch.randint(0, 256, (count, 3, *size)).float() / 255


def apply(name, x, value):
    operation, values = OPERATIONS[name], torch.full((len(x),), value)
    if operation.matrices is not None:
        return warp(x, operation.matrices(values, x.shape[-2:]))
    return operation.change(x, values)


@pytest.mark.parametrize(
    ("name", "word", "value", "argument"),
    [
        ("brightness", "adjust_brightness", 0.5, 1.5),
        ("brightness", "adjust_brightness", -0.7, 0.3),
        ("color", "adjust_saturation", -0.4, 0.6),
        ("contrast", "adjust_contrast", 0.8, 1.8),
        ("sharpness", "adjust_sharpness", 0.9, 1.9),
        ("solarize", "solarize", 0.3, 0.3),
    ],
)
def test_enhancements_agree_with_torchvision(name, word, value, argument):
    x = images()

    expected = getattr(functional(), word)(x, argument)

    assert_close(apply(name, x, value), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("bits", [2, 5])
def test_posterize_agrees_with_torchvision(bits):
    x = images()

    expected = functional().posterize((x * 255).round().to(torch.uint8), bits)

    assert_close(apply("posterize", x, float(bits)), expected / 255, rtol=0, atol=1e-6)


def test_histograms_agree_with_torchvision():
    tv = functional()
    x = images() * 0.5 + 0.2

    assert_close(apply("auto_contrast", x, 0.0), tv.autocontrast(x), rtol=0, atol=1e-5)
    assert_close(apply("invert", x, 0.0), tv.invert(x))


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("rotate", 25.0, {"angle": -25.0}),
        ("translate_x", 0.25, {"translate": [5, 0]}),
        ("translate_y", -0.125, {"translate": [0, -2]}),
    ],
)
def test_moves_agree_with_torchvision(name, value, arguments):
    tv = functional()
    x = images()
    rest = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}

    expected = tv.affine(x, **{**rest, **arguments}, interpolation=tv.InterpolationMode.BILINEAR)

    assert_close(apply(name, x, value), expected, rtol=0, atol=3e-5)


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_equalization_agrees_with_keras(shift):
    keras = pytest.importorskip("keras")
    x = torch.randint(0, 120, (3, 3, 9, 11)).float() + shift

    theirs = keras.layers.Equalization(data_format="channels_first")

    # Keras counts the values of a whole batch, so it gets one image at a time.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = torch.stack([theirs(image, training=True) for image in x])
    assert_close(layers.Equalization()(x), expected, rtol=0, atol=1e-2)


def test_images_of_one_value_survive_the_histograms():
    x = torch.full((2, 3, 4, 4), 0.3)

    assert_close(pixels.equalize(x), x)
    assert_close(pixels.auto_contrast(x), x)


def test_auto_contrast_and_solarization_agree_with_keras():
    keras = pytest.importorskip("keras")
    x = torch.randint(30, 220, (3, 9, 11, 3)).float()
    ours = layers.AutoContrast(data_format="channels_last")

    assert_close(ours(x), keras.layers.AutoContrast(data_format="channels_last")(x))
    solar = layers.Solarization(threshold_factor=(0.5, 0.5), data_format="channels_last")
    assert_close(solar(x), torch.where(x >= 127.5, 255 - x, x))
    plain = keras.layers.Solarization()(x, training=True)
    assert_close(layers.Solarization(data_format="channels_last")(x), plain)


def test_rand_augment_chooses_all_operations_alike():
    parameters = layers.RandAugment(num_ops=3).draw(draws(), (8, 8))

    counts = parameters["operation"].flatten().bincount(minlength=len(STANDARD_SPACE))
    expected = 12_000 / len(STANDARD_SPACE)
    assert parameters["operation"].shape == (4000, 3)
    assert float(((counts - expected) ** 2 / expected).sum()) < 35


@pytest.mark.parametrize("factor", [(0.0, 0.0), (1.0, 1.0)])
def test_values_are_those_of_the_strength(factor):
    parameters = layers.RandAugment(factor=factor).draw(draws(), (8, 8))

    for number, (name, ends) in enumerate(STANDARD_SPACE.items()):
        values = parameters["value"][parameters["operation"] == number]
        end = ends[int(factor[0])]
        signs = {-end, end} if OPERATIONS[name].signed else {end}
        assert {round(float(v), 5) for v in values.unique()} == {round(v, 5) + 0.0 for v in signs}


def test_no_strength_leaves_all_but_the_histograms_alone():
    x = images(64)
    layer = layers.RandAugment((0, 1), factor=(0.0, 0.0), num_ops=1, seed=1)
    parameters = layer.draw(layer._next_draws(64, x.device), (16, 20))
    names = [list(STANDARD_SPACE)[n] for n in parameters["operation"][:, 0]]

    y = layer.transform(x, parameters, (16, 20))

    still = torch.tensor([name not in ("auto_contrast", "equalize", "solarize") for name in names])
    assert_close(y[still], x[still], rtol=0, atol=1e-5)


def test_trivial_augment_takes_31_strengths_of_the_wide_space():
    parameters = layers.TrivialAugment().draw(draws(20_000), (8, 8))
    number = list(WIDE_SPACE).index("rotate")

    values = parameters["value"][parameters["operation"] == number]
    assert parameters["operation"].shape == (20_000, 1)
    assert_close(values.abs().unique(), torch.linspace(0, 135, 31), rtol=0, atol=1e-3)


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_auto_augment_chooses_published_pairs(policy):
    transforms = pytest.importorskip("torchvision.transforms")
    published = transforms.AutoAugment(transforms.AutoAugmentPolicy(policy)).policies
    pairs = {tuple(name.lower() for name, *_ in pair) for pair in published}
    layer = layers.AutoAugment(policy)
    names = [name.replace("_", "") for name in layer.space]

    operation = layer.draw(draws(), (8, 8))["operation"]

    both = operation[(operation >= 0).all(1)]
    assert {tuple(names[n] for n in row) for row in both.tolist()} <= pairs
    rate = sum(rate for pair in published for _, rate, _ in pair) / (2 * len(published))
    assert abs(float((operation >= 0).float().mean()) - rate) < 0.02


def test_aug_mix_is_the_average_of_its_chains():
    x = images(6)
    layer = layers.AugMix((0, 1), num_chains=2, chain_depth=1, seed=1)
    parameters = layer.draw(layer._next_draws(6, x.device), (16, 20))

    y = layer.transform(x, parameters, (16, 20))

    chains = [
        layer._run(x, {key: parameters[key][:, [n]] for key in ("operation", "value")})
        for n in (0, 1)
    ]
    shares, own = parameters["shares"][..., None, None, None], parameters["original"]
    own = own[:, None, None, None]
    expected = own * x + (1 - own) * (shares[:, 0] * chains[0] + shares[:, 1] * chains[1])
    assert_close(y, expected)


def test_aug_mix_without_enhancements_has_none():
    assert not {"brightness", "color", "contrast", "sharpness"} & set(
        layers.AugMix(all_ops=False).space
    )


def test_unknown_policy_is_an_error():
    with pytest.raises(ValueError, match="`policy` must be one of 'imagenet', 'cifar10', 'svhn'"):
        layers.AutoAugment("coco")
