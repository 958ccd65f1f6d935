"""Up-sampling against Keras, torch and pictures made in other ways."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_as_keras, check_layer

SHAPES = {1: (2, 5, 3), 2: (2, 5, 4, 3), 3: (2, 3, 4, 5, 3)}
INTERPOLATIONS = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]


@pytest.mark.parametrize(
    ("rank", "kwargs"),
    [
        (1, {"size": 3}),
        (2, {"size": (2, 3), "data_format": "channels_last"}),
        (2, {"data_format": "channels_first"}),
        (2, {"size": 3, "interpolation": "bilinear", "data_format": "channels_last"}),
        (3, {"size": (1, 2, 3), "data_format": "channels_last"}),
    ],
    ids=str,
)
def test_up_sampling_is_that_of_keras(rank, kwargs):
    keras = pytest.importorskip("keras")
    name = f"UpSampling{rank}D"
    ours, theirs = (getattr(p, name)(**kwargs) for p in (layers, keras.layers))

    assert_same_as_keras(ours, theirs, torch.randn(SHAPES[rank]))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_layers_owe(interpolation):
    layer = layers.UpSampling2D((2, 3), interpolation=interpolation)

    check_layer(layer, torch.randn(2, 3, 7, 8), (2, 3, 14, 24))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_both_axis_orders_give_the_same_numbers(interpolation):
    x = torch.randn(2, 3, 7, 8)

    first = layers.UpSampling2D(2, "channels_first", interpolation)(x)
    last = layers.UpSampling2D(2, "channels_last", interpolation)(x.movedim(1, -1))

    assert_close(last.movedim(-1, 1), first)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_flat_images_stay_flat_to_the_border(interpolation):
    y = layers.UpSampling2D(3, interpolation=interpolation)(torch.full((1, 1, 7, 5), 2.5))

    assert_close(y, torch.full((1, 1, 21, 15), 2.5))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_smooth_interpolations_keep_a_ramp_inside(interpolation):
    ramp = torch.arange(12.0).expand(1, 1, 12, 12)

    y = layers.UpSampling2D(2, interpolation=interpolation)(ramp)

    expected = (torch.arange(24) + 0.5) / 2 - 0.5
    assert_close(y[0, 0, 10, 4:-4], expected[4:-4])


@pytest.mark.parametrize("lobes", [3, 5])
def test_lanczos_weights_by_hand(lobes):
    impulse = torch.zeros(1, 1, 15, 1)
    impulse[0, 0, 7] = 1.0

    y = layers.UpSampling2D((2, 1), interpolation=f"lanczos{lobes}")(impulse)

    distance = (torch.arange(30) + 0.5) / 2 - 0.5 - 7
    kernel = torch.sinc(distance) * torch.sinc(distance / lobes) * (distance.abs() < lobes)
    # Every window holds the same distances, a quarter off, up to sign.
    near = torch.arange(-lobes, lobes + 1) + 0.25
    total = (torch.sinc(near) * torch.sinc(near / lobes) * (near.abs() < lobes)).sum()
    assert_close(y[0, 0, 10:-10, 0], (kernel / total)[10:-10])


@pytest.mark.parametrize("factor", [2, 3, 7, 49])
def test_nearest_repeats_exactly_integers_included(factor):
    x = torch.randn(1, 2, 50, 3)
    repeated = x.repeat_interleave(factor, 2)

    assert_close(layers.UpSampling2D((factor, 1))(x), repeated, rtol=0, atol=0)
    whole = (x * 100).to(torch.uint8)
    y = layers.UpSampling2D((factor, 1))(whole)
    assert y.dtype == torch.uint8
    assert_close(y, whole.repeat_interleave(factor, 2))


def test_unknown_interpolation_is_refused():
    with pytest.raises(ValueError, match="`interpolation` must be one of 'nearest', 'bilinear'"):
        layers.UpSampling2D(2, interpolation="cubic")
