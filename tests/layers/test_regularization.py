"""Layers that disturb their input in training."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_signature, check_layer

NOISES = [
    lambda seed: layers.Dropout(0.5, seed=seed),
    lambda seed: layers.Dropout(0.5, noise_shape=(None, 1, None), seed=seed),
    lambda seed: layers.SpatialDropout1D(0.5, seed=seed),
    lambda seed: layers.AlphaDropout(0.5, seed=seed),
    lambda seed: layers.AlphaDropout(0.5, noise_shape=(None, 1, None), seed=seed),
    lambda seed: layers.GaussianDropout(0.5, seed=seed),
    lambda seed: layers.GaussianNoise(0.5, seed=seed),
]


@pytest.mark.parametrize("make", NOISES)
@pytest.mark.parametrize("seed", [None, 3])
def test_noise_is_inert_outside_training_and_repeatable_from_its_seed(make, seed):
    x = torch.randn(8, 6, 16)
    one, two = make(seed), make(seed)

    assert one(x, training=False) is x or torch.equal(one(x, training=False), x)
    first, second = one(x, training=True), one(x, training=True)
    assert first.shape == x.shape
    assert not torch.equal(first, second)
    if seed is not None:
        assert torch.equal(two(x, training=True), first)
        assert torch.equal(two(x, training=True), second)


@pytest.mark.parametrize("make", [*NOISES[:3], *NOISES[5:]])
@pytest.mark.parametrize("seed", [None, 3])
def test_noise_keeps_the_mean(make, seed):
    x = torch.full((400, 4, 50), 0.7)

    y = make(seed)(x, training=True)

    assert_close(y.mean(), torch.tensor(0.7), rtol=0.06, atol=0)


@pytest.mark.parametrize("seed", [None, 3])
def test_dropout_drops_its_rate_and_scales_the_rest(seed):
    y = layers.Dropout(0.25, seed=seed)(torch.ones(100, 100), training=True)

    assert set(y.unique().tolist()) == {0.0, torch.tensor(4 / 3).item()}
    assert abs((y == 0).float().mean() - 0.25) < 0.02


def test_dropout_is_torchs_unless_told_otherwise():
    x = torch.randn(5, 7)
    torch.manual_seed(1)
    mine = layers.Dropout(0.5)(x)
    torch.manual_seed(1)

    assert_close(mine, nn.functional.dropout(x, 0.5))


def test_dropout_of_everything_and_of_nothing():
    x = torch.ones(3, 4)
    for seed in (None, 1):
        assert not layers.Dropout(1.0, seed=seed)(x, training=True).any()
        assert torch.equal(layers.Dropout(0.0, seed=seed)(x, training=True), x)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(
    ("make", "shape", "within"),
    [
        (layers.SpatialDropout1D, (6, 5, 8), (1,)),
        (layers.SpatialDropout2D, (6, 8, 4, 5), (2, 3)),
        (layers.SpatialDropout3D, (6, 8, 4, 5, 3), (2, 3, 4)),
    ],
)
def test_spatial_dropout_drops_whole_maps(make, shape, within, seed):
    y = make(0.5, seed=seed)(torch.ones(shape), training=True)

    assert torch.equal(y.amin(within), y.amax(within))
    assert 0 < (y == 0).float().mean() < 1


def test_spatial_dropout_knows_channels_last():
    layer = layers.SpatialDropout2D(0.5, data_format="channels_last")

    y = layer(torch.ones(6, 4, 5, 8), training=True)

    assert torch.equal(y.amin((1, 2)), y.amax((1, 2)))
    assert layer.get_config()["data_format"] == "channels_last"


@pytest.mark.parametrize("noise_shape", [None, (None, None)])
def test_alpha_dropout_keeps_mean_and_variance(noise_shape):
    x = torch.randn(500, 200)

    y = layers.AlphaDropout(0.3, noise_shape=noise_shape)(x, training=True)

    assert_close(y.mean(), torch.tensor(0.0), atol=0.02, rtol=0)
    assert_close(y.std(), torch.tensor(1.0), atol=0.02, rtol=0)


def test_gaussian_dropout_has_the_variance_of_dropout():
    y = layers.GaussianDropout(0.2, seed=1)(torch.ones(500, 200), training=True)

    assert_close(y.var(), torch.tensor(0.25), atol=0.01, rtol=0)


def test_activity_regularization_adds_its_penalty_per_sample():
    x = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    layer = layers.ActivityRegularization(l1=0.5, l2=0.25)

    assert torch.equal(layer(x), x)

    assert_close(layer.losses[0], torch.tensor((0.5 * 6 + 0.25 * 14) / 2))


def test_noise_layers_have_a_symbolic_shape_and_a_configuration():
    inputs = layers.Input((5, 8))
    for make in NOISES:
        for seed in (None, 2):
            layer = make(seed)
            assert layer(inputs).shape == (None, 5, 8)
            again = type(layer).from_config(layer.get_config())
            assert again.get_config() == layer.get_config()


def test_wrong_rates_are_refused():
    for make in (
        layers.Dropout,
        layers.SpatialDropout1D,
        layers.AlphaDropout,
        layers.GaussianNoise,
    ):
        with pytest.raises(ValueError, match="must be a number from 0 to 1"):
            make(1.5)
    with pytest.raises(ValueError, match="must be below 1"):
        layers.GaussianDropout(1)
    with pytest.raises(ValueError, match="noise_shape"):
        layers.Dropout(0.5, noise_shape="all")
    with pytest.raises(ValueError, match="expects 4-D input"):
        layers.SpatialDropout2D(0.5)(torch.ones(2, 3))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.Dropout(0.5), (3, 4)),
        (lambda: layers.Dropout(0.5, seed=1), (3, 4)),
        (lambda: layers.SpatialDropout1D(0.5), (3, 4, 5)),
        (lambda: layers.SpatialDropout2D(0.5), (3, 4, 5, 5)),
        (lambda: layers.SpatialDropout2D(0.5, data_format="channels_last"), (3, 4, 5, 5)),
        (lambda: layers.SpatialDropout3D(0.5, seed=1), (3, 4, 5, 5, 2)),
        (lambda: layers.AlphaDropout(0.5), (3, 4)),
        (lambda: layers.GaussianDropout(0.5), (3, 4)),
        (lambda: layers.GaussianNoise(0.5), (3, 4)),
        (lambda: layers.ActivityRegularization(0.5), (3, 4)),
    ],
)
def test_what_every_layer_owes(make, shape):
    check_layer(make(), torch.randn(shape))


@pytest.mark.parametrize(
    "name",
    [
        "Dropout",
        "AlphaDropout",
        "GaussianDropout",
        "GaussianNoise",
        "ActivityRegularization",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
    ],
)
def test_arguments_are_those_of_keras(name):
    keras = pytest.importorskip("keras")

    assert_same_signature(getattr(layers, name), getattr(keras.layers, name))
