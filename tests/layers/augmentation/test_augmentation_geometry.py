"""Flips, turns, shifts and the like: values against torchvision and Keras, ranges of the draws."""

import math

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers.augmentation.draws import Draws, sample_keys
from kerasish.layers.augmentation.warp import FILL_MODES, inverse, perspective, sample, warp

BILINEAR = "bilinear"


def functional():
    return pytest.importorskip("torchvision.transforms.v2.functional")


def images(count=3, size=(17, 23)):
    return torch.rand(count, 3, *size)


def draws(count=5000):
    return Draws(sample_keys(torch.arange(count), 11))


def test_flip_gives_all_four_pictures_as_often():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]).expand(4000, -1, -1, -1)

    y = layers.RandomFlip(seed=1)(x)

    corners, counts = y[:, 0, 0, 0].unique(return_counts=True)
    assert corners.tolist() == [1, 2, 3, 4]
    assert counts.min() > 900


@pytest.mark.parametrize(("mode", "axis"), [("horizontal", -1), ("vertical", -2)])
def test_flip_mirrors_the_named_axis(mode, axis):
    x = images()

    assert_close(layers.RandomFlip(mode, rate=1.0)(x), x.flip(axis), rtol=0, atol=0)
    assert_close(layers.RandomFlip(mode, rate=0.0)(x), x, rtol=0, atol=0)


@pytest.mark.parametrize("turn", [0.1, -0.22, 0.5])
def test_rotation_agrees_with_torchvision(turn):
    tv = functional()
    x = images()

    y = layers.RandomRotation((turn, turn), fill_mode="constant")(x)

    expected = tv.rotate(x, turn * 360, interpolation=tv.InterpolationMode.BILINEAR)
    assert_close(y, expected, rtol=0, atol=2e-5)


def test_shift_and_zoom_agree_with_torchvision():
    tv = functional()
    x = images(size=(20, 30))
    shift = layers.RandomTranslation((0.1, 0.1), (-0.2, -0.2), fill_mode="constant")
    zoom = layers.RandomZoom((0.25, 0.25), fill_mode="constant")
    rest = {"angle": 0.0, "shear": [0.0], "interpolation": tv.InterpolationMode.BILINEAR}

    assert_close(shift(x), tv.affine(x, translate=[-6, 2], scale=1.0, **rest), rtol=0, atol=2e-5)
    assert_close(zoom(x), tv.affine(x, translate=[0, 0], scale=1 / 1.25, **rest), rtol=0, atol=2e-5)


def test_shear_shifts_rows_in_proportion():
    x = torch.zeros(1, 1, 4, 8)
    x[..., 5] = 1

    y = layers.RandomShear((1.0, 1.0), fill_mode="constant", seed=3)(x)

    sign = 1 if y[0, 0, 1, 4] == 1 else -1
    assert [int(row.argmax()) for row in y[0, 0]][:3] == [5, 5 - sign, 5 - 2 * sign]


def test_perspective_agrees_with_torchvision():
    tv = functional()
    x = images(1)
    start = [[0, 0], [22, 0], [22, 16], [0, 16]]
    end = [[1, 2], [20, 1], [21, 14], [3, 15]]

    # Torchvision counts from the image's corner, half a pixel before the first pixel's centre.
    moved = perspective(torch.tensor([start]) - 0.5, torch.tensor([end]) - 0.5)
    y = warp(x, moved)

    assert_close(y, tv.perspective(x, start, end), rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", FILL_MODES)
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_outside_pixels_are_those_of_the_extended_image(mode, interpolation):
    x = images(1, (5, 7))
    row, column = torch.arange(-9, 14), torch.arange(-9, 16)
    extended = {
        "reflect": lambda i, n: torch.minimum(i % (2 * n), 2 * n - 1 - i % (2 * n)),
        "wrap": lambda i, n: i % n,
        "nearest": lambda i, n: i.clamp(0, n - 1),
        "constant": lambda i, n: i.clamp(0, n - 1),
    }[mode]
    whole = x[:, :, extended(row, 5)][..., extended(column, 7)]
    if mode == "constant":
        inside = ((row >= 0) & (row < 5))[:, None] & ((column >= 0) & (column < 7))
        whole = torch.where(inside, whole, 0.25)
    at_x, at_y = torch.rand(1, 6, 6) * 18 - 6, torch.rand(1, 6, 6) * 16 - 6

    y = sample(x, at_x, at_y, interpolation, mode, 0.25)

    assert_close(y, sample(whole, at_x + 9, at_y + 9, interpolation), rtol=0, atol=2e-5)


def test_matrices_go_there_and_back():
    matrices = torch.eye(3) + 0.3 * torch.rand(6, 3, 3)
    there = matrices @ inverse(matrices)

    assert_close(there, torch.eye(3).expand(6, 3, 3), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.RandomRotation(0.0),
        lambda: layers.RandomZoom(0.0),
        lambda: layers.RandomTranslation(0.0, 0.0),
        lambda: layers.RandomShear(),
        lambda: layers.RandomPerspective(0.0),
        lambda: layers.RandomPerspective(scale=0.0),
        lambda: layers.RandomRotation((1.0, 1.0)),
    ],
)
def test_no_strength_is_the_identity(layer):
    x = images()

    assert_close(layer()(x), x, rtol=0, atol=2e-5)
    pixels = (x * 255).to(torch.uint8)
    assert_close(layer()(pixels), pixels, rtol=0, atol=0)


def test_angles_are_uniform_in_their_range():
    matrices = layers.RandomRotation((-0.1, 0.3)).matrices(draws(), (8, 8))
    turns = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]) / (2 * math.pi)

    assert turns.min() >= -0.1001
    assert turns.max() <= 0.3001
    assert abs(float(turns.mean()) - 0.1) < 0.01
    assert abs(float(turns.std()) - 0.4 / math.sqrt(12)) < 0.01


def test_zoom_keeps_the_aspect_ratio_unless_told_otherwise():
    same = layers.RandomZoom(0.5).matrices(draws(), (8, 8))
    apart = layers.RandomZoom(0.5, 0.1).matrices(draws(), (8, 8))

    assert_close(same[:, 0, 0], same[:, 1, 1])
    assert float(apart[:, 0, 0].max()) <= 1.1 < float(apart[:, 1, 1].max()) <= 1.5


def test_shifts_are_parts_of_the_image():
    matrices = layers.RandomTranslation((0.0, 0.5), (-0.25, 0.0)).matrices(draws(), (10, 40))

    assert -5 <= float(matrices[:, 1, 2].min()) < -4.9
    assert 9.9 < float(matrices[:, 0, 2].max()) <= 10


def test_perspective_is_as_frequent_as_asked():
    layer = layers.RandomPerspective((0.3, 0.3), scale=0.5)
    same = (layer.matrices(draws(), (9, 9)) == torch.eye(3)).all(-1).all(-1)

    assert abs(float(same.float().mean()) - 0.7) < 0.03


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("RandomTranslation", {"height_factor": (0.2, 0.2), "width_factor": (-0.1, -0.1)}),
        ("RandomZoom", {"height_factor": (0.3, 0.3), "width_factor": (-0.4, -0.4)}),
        ("RandomRotation", {"factor": (0.1, 0.1)}),
    ],
)
@pytest.mark.parametrize("mode", ["constant", "nearest", "wrap"])
def test_values_are_those_of_keras(name, kwargs, mode):
    keras = pytest.importorskip("keras")
    x = images(2, (12, 15))
    ours = getattr(layers, name)(fill_mode=mode, **kwargs)
    theirs = getattr(keras.layers, name)(fill_mode=mode, data_format="channels_first", **kwargs)

    y, expected = ours(x), theirs(x, training=True)

    # Past the border Keras interpolates a little differently; inside, not at all.
    close = (y - expected).abs() < 1e-4
    assert close.float().mean() > (0.8 if mode == "constant" else 0.85)


@pytest.mark.parametrize("factor", [2.0, "0.1", (0.1, 0.2, 0.3), (-2.0, 0.1), None])
def test_factor_out_of_range_is_an_error(factor):
    with pytest.raises(ValueError, match="`factor` must be a number or a pair"):
        layers.RandomRotation(factor)


def test_unknown_modes_are_errors():
    with pytest.raises(ValueError, match="`fill_mode` must be one of 'reflect'"):
        layers.RandomRotation(0.1, fill_mode="mirror")
    with pytest.raises(ValueError, match="`interpolation` must be one of"):
        layers.RandomRotation(0.1, interpolation="cubic")
    with pytest.raises(ValueError, match="`mode` must be one of"):
        layers.RandomFlip("sideways")


def test_zoom_by_a_whole_image_is_an_error():
    with pytest.raises(ValueError, match=r"\(-1, 1\]"):
        layers.RandomZoom((-1.0, 0.5))
