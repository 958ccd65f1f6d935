"""Colours: values against torchvision and Keras for fixed strengths, and ranges of the draws."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers.augmentation import pixels
from kerasish.layers.augmentation.draws import Draws, sample_keys

UNIT = {"value_range": (0, 1)}


def functional():
    return pytest.importorskip("torchvision.transforms.v2.functional")


def images(count=3, size=(12, 15)):
    return torch.rand(count, 3, *size)


def draws(count=5000):
    return Draws(sample_keys(torch.arange(count), 11))


def test_brightness_adds_a_part_of_the_range_and_clips():
    x = torch.tensor([[[[0.0, 100.0, 250.0]]]])

    y = layers.RandomBrightness((0.2, 0.2))(x)

    assert_close(y, torch.tensor([[[[51.0, 151.0, 255.0]]]]))


def test_contrast_scales_about_the_mean_of_each_channel():
    x = torch.tensor([[[[100.0, 120.0]], [[0.0, 20.0]]]])

    y = layers.RandomContrast((0.0, 0.0), seed=1)(x)
    stronger = layers.RandomContrast(1.0, seed=1)
    factor = stronger.draw(draws(1), (1, 2))["factor"]
    z = stronger.transform_images(x, {"factor": factor})

    assert_close(y, x)
    f = float(factor)
    assert_close(z[0, 0, 0], torch.tensor([110 - 10 * f, 110 + 10 * f]))
    assert_close(z[0, 1, 0], torch.tensor([max(10 - 10 * f, 0), 10 + 10 * f]))


def test_contrast_goes_both_ways():
    factors = layers.RandomContrast(0.4).draw(draws(), (4, 4))["factor"]
    one_way = layers.RandomContrast((0.0, 0.4)).draw(draws(), (4, 4))["factor"]

    assert 0.6 <= float(factors.min()) < 0.61
    assert 1.39 < float(factors.max()) <= 1.4
    assert float(one_way.min()) >= 1


@pytest.mark.parametrize("turn", [0.1, -0.3, 0.5])
def test_hue_agrees_with_torchvision(turn):
    tv = functional()
    x = images()

    y = pixels.shift_hue(x, torch.full((3,), turn))

    assert_close(y, tv.adjust_hue(x, turn), rtol=0, atol=1e-5)


def test_hue_keeps_gray_and_half_a_turn_gives_the_complement():
    gray = torch.full((1, 3, 2, 2), 0.3)
    red = torch.tensor([0.8, 0.2, 0.2]).reshape(1, 3, 1, 1)

    assert_close(pixels.shift_hue(gray, torch.tensor([0.37])), gray)
    cyan = pixels.shift_hue(red, torch.tensor([0.5]))
    assert_close(cyan.flatten(), torch.tensor([0.2, 0.8, 0.8]))


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_saturation_is_scaled_as_in_hsv(factor):
    keras = pytest.importorskip("keras")
    x = images()
    theirs = keras.layers.RandomSaturation(
        (factor, factor), value_range=(0, 1), data_format="channels_first"
    )

    y = layers.RandomSaturation((factor, factor), **UNIT)(x)

    assert_close(y, theirs(x, training=True), rtol=0, atol=2e-5)


def test_saturation_means_the_same_on_the_scale_to_255():
    x = images()

    y = layers.RandomSaturation((0.8, 0.8), **UNIT)(x)
    z = layers.RandomSaturation((0.8, 0.8))(x * 255 + 1e-3)

    assert_close(z / 255, y, rtol=0, atol=1e-4)


def test_grayscale_is_brightness_in_all_channels():
    tv = functional()
    x = images()

    y = layers.RandomGrayscale(1.0)(x)

    assert_close(y, tv.rgb_to_grayscale(x, num_output_channels=3), rtol=0, atol=1e-4)
    assert_close(layers.RandomGrayscale(0.0)(x), x, rtol=0, atol=0)


def test_grayscale_is_as_frequent_as_asked():
    chosen = layers.RandomGrayscale(0.3).draw(draws(), (4, 4))["chosen"]

    assert abs(float(chosen.float().mean()) - 0.3) < 0.03


def test_color_degeneration_agrees_with_torchvision():
    tv = functional()
    x = images()

    y = layers.RandomColorDegeneration((0.4, 0.4), **UNIT)(x)

    assert_close(y, tv.adjust_saturation(x, 0.6), rtol=0, atol=1e-4)


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9])
def test_sharpness_agrees_with_torchvision(factor):
    tv = functional()
    x = images()

    y = layers.RandomSharpness((factor, factor), **UNIT)(x)

    assert_close(y, tv.adjust_sharpness(x, 2 * factor), rtol=0, atol=1e-5)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_posterization_agrees_with_torchvision(bits):
    tv = functional()
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, -1, -1)

    y = layers.RandomPosterization(bits)(x)
    z = layers.RandomPosterization(bits, **UNIT)(x / 255)

    assert_close(y, tv.posterize(x, bits), rtol=0, atol=0)
    assert_close(z * 255, y.float(), rtol=0, atol=1e-3)


def test_posterization_draws_both_ends():
    bits = layers.RandomPosterization((2, 4)).draw(draws(), (4, 4))["bits"]

    assert bits.unique().tolist() == [2, 3, 4]


def test_invert_is_the_negative():
    tv = functional()
    x = (images() * 255).to(torch.uint8)

    assert_close(layers.RandomInvert((1.0, 1.0))(x), tv.invert(x), rtol=0, atol=0)
    y = layers.RandomInvert((1.0, 1.0), value_range=(-1, 3))(torch.full((1, 3, 2, 2), 0.5))
    assert_close(y, torch.full((1, 3, 2, 2), 1.5))


def test_one_number_is_the_most_that_the_probability_may_be():
    chosen = layers.RandomInvert(0.8).draw(draws(), (4, 4))["chosen"]
    fixed = layers.RandomInvert((0.8, 0.8)).draw(draws(), (4, 4))["chosen"]

    assert abs(float(chosen.float().mean()) - 0.4) < 0.03
    assert abs(float(fixed.float().mean()) - 0.8) < 0.03


@pytest.mark.parametrize(("size", "sigma"), [(3, 1.0), ((5, 3), 0.7), ((1, 7), 2.5)])
def test_blur_agrees_with_torchvision(size, sigma):
    tv = functional()
    x = images()
    height, width = (size, size) if isinstance(size, int) else size

    y = layers.RandomGaussianBlur((1.0, 1.0), size, sigma, **UNIT)(x)

    assert_close(y, tv.gaussian_blur(x, [width, height], [sigma, sigma]), rtol=0, atol=1e-5)


def test_a_blur_of_no_width_changes_nothing():
    x = torch.rand(3, 3, 6, 6)

    blurred = pixels.blur(x, (5, 3), torch.tensor([[0.0, 0.0], [1.0, 1.0], [1e-6, 0.0]]))
    y = layers.RandomGaussianBlur((1.0, 1.0), 5, (0.0, 1.0), **UNIT)(x)

    assert_close(blurred[[0, 2]], x[[0, 2]])
    assert not torch.allclose(blurred[1], x[1])
    assert y.isfinite().all()


def test_each_image_has_a_blur_of_its_own():
    layer = layers.RandomGaussianBlur((1.0, 1.0), 5, (0.5, 3.0), **UNIT)
    x = images(1).expand(4, -1, -1, -1)
    sigma = torch.tensor([0.5, 1.0, 2.0, 3.0])

    y = layer.transform_images(x, {"chosen": torch.ones(4, dtype=torch.bool), "sigma": sigma})

    for i in range(4):
        alone = layers.RandomGaussianBlur((1.0, 1.0), 5, float(sigma[i]), **UNIT)(x[i])
        assert_close(y[i], alone)


def test_erasing_covers_one_rectangle_of_the_right_size():
    layer = layers.RandomErasing((1.0, 1.0), (0.1, 0.3), fill_value=9, value_range=(0, 10), seed=1)

    covered = layer(torch.zeros(300, 1, 40, 50))[:, 0] == 9

    rows, columns = covered.any(2), covered.any(1)
    assert torch.equal(covered, rows[:, :, None] & columns[:, None, :])
    share = rows.float().mean(1), columns.float().mean(1)
    for part in share:
        assert 0.28 <= float(part.min()) < 0.36
        assert 0.5 < float(part.max()) <= 0.57


def test_erasing_fills_with_noise_or_a_color():
    x = torch.full((2, 3, 20, 20), 0.5)
    noisy = layers.RandomErasing((1.0, 1.0), **UNIT)(x)
    colored = layers.RandomErasing((1.0, 1.0), fill_value=(0.1, 0.2, 0.3), **UNIT)(x)

    assert len(noisy[noisy != 0.5].unique()) > 10
    assert colored[:, 1].unique().tolist() == pytest.approx([0.2, 0.5])
    assert_close(layers.RandomErasing(0.0, **UNIT)(x), x)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.RandomBrightness(0.0, **UNIT),
        lambda: layers.RandomContrast(0.0, **UNIT),
        lambda: layers.RandomSaturation((0.5, 0.5), **UNIT),
        lambda: layers.RandomHue(0.0, **UNIT),
        lambda: layers.RandomSharpness((0.5, 0.5), **UNIT),
        lambda: layers.RandomColorDegeneration(0.0, **UNIT),
        lambda: layers.RandomInvert(0.0, **UNIT),
        lambda: layers.RandomGaussianBlur(0.0, **UNIT),
        lambda: layers.RandomColorJitter(**UNIT),
        lambda: layers.PCAColorJitter(0.0, **UNIT),
    ],
)
def test_no_strength_is_the_identity(layer):
    x = images()

    assert_close(layer()(x), x, rtol=0, atol=1e-6)


def test_color_layers_need_colors():
    with pytest.raises(ValueError, match="3 channels"):
        layers.RandomHue(0.1, **UNIT)(torch.rand(2, 4, 5, 5))


def test_arguments_out_of_range_are_errors():
    with pytest.raises(ValueError, match="`value_range` must be two numbers"):
        layers.RandomBrightness(0.1, value_range=255)
    with pytest.raises(ValueError, match="`kernel_size` must be an odd positive integer"):
        layers.RandomGaussianBlur(kernel_size=4)
    with pytest.raises(ValueError, match="`sigma` must be"):
        layers.RandomGaussianBlur(sigma=0.0)
    with pytest.raises(ValueError, match="`fill_value` must be None"):
        layers.RandomErasing(fill_value="black")
