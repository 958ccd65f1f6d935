"""Windows: values against torchvision, what is drawn, and what happens outside training."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers.augmentation.draws import Draws, sample_context, sample_keys
from kerasish.layers.augmentation.windows import _weights, crop, resize


def functional():
    return pytest.importorskip("torchvision.transforms.v2.functional")


def draws(count=3000):
    return Draws(sample_keys(torch.arange(count), 11))


def numbered(count, height, width):
    """Images whose pixels tell their place."""
    places = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    return places.expand(count, -1, -1, -1)


def test_crop_is_a_window_of_the_image_at_every_place():
    y = layers.RandomCrop(3, 4, seed=1)(numbered(500, 5, 6))

    corners = y[:, 0, 0, 0].unique().tolist()
    assert corners == [row * 6 + column for row in range(3) for column in range(3)]
    assert_close(y - y[:, :, :1, :1], numbered(500, 5, 6)[:, :, :3, :4])


def test_crop_at_one_full_side_still_moves_along_the_other():
    y = layers.RandomCrop(5, 4, seed=1)(numbered(100, 5, 6))

    assert y[:, 0, 0, 0].unique().tolist() == [0, 1, 2]


def test_padding_lets_the_window_leave_the_image():
    y = layers.RandomCrop(4, 4, padding=2, fill_value=-1, seed=1)(numbered(800, 4, 4) + 1)

    assert len(torch.unique(y.flatten(1), dim=0)) == 25
    assert y.min() == -1


def test_crop_outside_training_is_the_resized_middle():
    tv = functional()
    x = torch.rand(2, 3, 10, 17)

    y = layers.RandomCrop(5, 5)(x, training=False)

    assert_close(y, tv.resize(x[..., 3:13], [5, 5], antialias=True))


def test_image_smaller_than_the_window_is_enlarged():
    tv = functional()
    x = torch.rand(2, 3, 6, 20)

    y = layers.RandomCrop(12, 12)(x)

    assert_close(y, tv.resize(x[..., 7:13], [12, 12], antialias=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_resized_crop_agrees_with_torchvision(dtype):
    tv = functional()
    x = (torch.rand(6, 3, 31, 40) * 255).to(dtype)
    layer = layers.RandomResizedCrop(14, 12, seed=2)
    parameters = layer.draw(layer._next_draws(6, x.device), (31, 40))

    y = layer.transform_images(x, parameters)

    for i in range(6):
        top, bottom = (int(n) for n in parameters["vertical"][i, 2:])
        left, right = (int(n) for n in parameters["horizontal"][i, 2:])
        expected = tv.resized_crop(
            x[i], top, left, bottom - top, right - left, [14, 12], antialias=True
        )
        assert_close(y[i], expected, rtol=0, atol=1 if dtype == torch.uint8 else 1e-3)


def test_resized_crop_draws_area_and_shape_from_their_ranges():
    layer = layers.RandomResizedCrop(8, 8, scale=(0.2, 0.6), ratio=(0.5, 2.0))
    parameters = layer.draw(draws(), (300, 300))
    (tall, wide) = (parameters[n][:, 3] - parameters[n][:, 2] for n in ("vertical", "horizontal"))
    area, ratio = tall * wide / 300**2, wide / tall

    assert 0.19 < float(area.min()) < 0.22
    assert 0.57 < float(area.max()) < 0.61
    assert 0.49 < float(ratio.min()) < 0.55
    assert 1.8 < float(ratio.max()) < 2.02
    assert abs(float(ratio.log().mean())) < 0.05
    assert float(parameters["vertical"][:, 2].min()) >= 0
    assert float(parameters["horizontal"][:, 3].max()) <= 300


def test_resized_crop_that_cannot_fit_takes_the_middle():
    layer = layers.RandomResizedCrop(8, 8, scale=(1.0, 1.0), ratio=(1.0, 1.0))

    parameters = layer.draw(draws(2), (10, 30))

    assert parameters["vertical"][0, 2:].tolist() == [0, 10]
    assert parameters["horizontal"][0, 2:].tolist() == [10, 20]


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (33, 33)])
def test_short_side_resizes_the_window_alone(size):
    tv = functional()
    x = torch.rand(50, 3, *size)
    layer = layers.RandomShortSide((20, 36), 16, seed=1)
    parameters = layer.draw(layer._next_draws(50, x.device), size)

    y = layer.transform_images(x, parameters)

    seen = set()
    for i in range(50):
        (top, _, low, bottom), (left, _, _, right) = (
            parameters[n][i].tolist() for n in ("vertical", "horizontal")
        )
        assert low == top
        assert top.is_integer()
        tall, wide = round(bottom - top), round(right - left)
        # 16 pixels of a short side from 20 to 36 are as many of the image's.
        assert tall == wide
        seen.add(tall)
        window = [round(top), round(left), tall, wide]
        expected = tv.resized_crop(x[i], *window, [16, 16], antialias=True)
        assert_close(y[i], expected, rtol=0, atol=1e-5)
    assert min(seen) == round(16 * min(size) / 36)
    assert max(seen) == round(16 * min(size) / 20)


def test_short_side_shows_what_resizing_first_and_cutting_then_shows():
    tv = functional()
    rows, columns = torch.meshgrid(torch.arange(90.0), torch.arange(70.0), indexing="ij")
    x = torch.stack([rows, columns, rows + columns])[None]
    layer = layers.RandomShortSide((50, 50), 32, seed=1)
    parameters = layer.draw(layer._next_draws(1, x.device), (90, 70))

    y = layer.transform_images(x, parameters)[0]

    top, left = (round(float(parameters[n][0, 0]) * 50 / 70) for n in ("vertical", "horizontal"))
    whole = tv.resize(x[0], [50], antialias=True)[:, top : top + 32, left : left + 32]
    # Within a pixel of the image, away from the border, where resizing sees less.
    assert (y - whole)[:2, 2:-2, 2:-2].abs().max() < 1.0


def test_windows_of_images_of_different_sizes_are_drawn_at_once():
    makers = (
        lambda: layers.RandomShortSide((20, 36), 16, seed=3),
        lambda: layers.RandomResizedCrop(16, 12, seed=3),
        lambda: layers.RandomCrop(16, 12, seed=3),
    )
    sizes = [(40, 60), (60, 40), (33, 33), (18, 90), (8, 10)]

    for make in makers:
        with sample_context(range(5)):
            layer = make()
            both = layer._next_draws(5, torch.device("cpu"))
            drawn = layer.draw(both, torch.tensor(sizes, dtype=torch.float32).unbind(1))
        for i, size in enumerate(sizes):
            x = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
            with sample_context(i):
                alone = make()(x)
            assert torch.equal(layer.changer(drawn)(x, i), alone), type(layer)


def test_short_side_reaches_both_ends_and_all_places():
    layer = layers.RandomShortSide((20, 24), 16)
    numbers = layer.draw(draws(), (100, 100))["vertical"]

    short = (100 / numbers[:, 1]).round()
    assert short.unique().tolist() == [20, 21, 22, 23, 24]
    top = (numbers[:, 0] / numbers[:, 1]).round()[short == 24]
    assert top.unique().tolist() == list(range(9))


def test_short_side_outside_training_is_the_middle_at_the_least_length():
    tv = functional()
    x = torch.rand(2, 3, 50, 70)

    y = layers.RandomShortSide((32, 48), 24).eval()(x)

    assert_close(y, tv.center_crop(tv.resize(x, [32], antialias=True), [24, 24]))


def test_default_is_the_recipe_of_resnet():
    layer = layers.RandomShortSide()

    assert layer.short_side == (256, 480)
    assert layer.output_size((500, 400)) == (224, 224)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_all_at_once_agrees_with_one_by_one(interpolation, monkeypatch):
    from kerasish.layers.augmentation import windows

    x = torch.rand(6, 3, 31, 40)
    layer = layers.RandomResizedCrop(14, 12, interpolation=interpolation, seed=2)
    short = layers.RandomShortSide((16, 30), 14, interpolation=interpolation, seed=2)
    cases = [(step, step.draw(draws(6), (31, 40))) for step in (layer, short)]
    one_by_one = [step.transform_images(x, parameters) for step, parameters in cases]
    monkeypatch.setattr(windows, "_loops", lambda images: False)

    at_once = [step.transform_images(x, parameters) for step, parameters in cases]

    for a, b in zip(one_by_one, at_once, strict=True):
        # Nearest pixels may differ where a place falls exactly between two.
        assert ((a - b).abs() < 1e-3).float().mean() > (
            0.97 if interpolation == "nearest" else 0.9999
        )


def test_crops_all_at_once_agree_with_one_by_one(monkeypatch):
    from kerasish.layers.augmentation import windows

    x = (torch.rand(4, 3, 9, 9) * 255).to(torch.uint8)
    corners = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 0, 1, 2])
    expected = crop(x, *corners, (5, 6))
    monkeypatch.setattr(windows, "_loops", lambda images: False)

    assert_close(crop(x, *corners, (5, 6)), expected, rtol=0, atol=0)


def test_weights_of_an_output_pixel_sum_to_one():
    numbers = torch.tensor([[2.0, 3.5, 2.0, 30.0], [0.0, 0.4, 0.0, 8.0]])

    assert_close(_weights(numbers, 8, 32).sum(-1), torch.ones(2, 8))


def test_whole_window_at_its_size_is_the_image():
    x = torch.rand(2, 3, 6, 7)
    whole = [torch.tensor([[0.0, 1.0, 0.0, n]] * 2) for n in (6.0, 7.0)]

    assert_close(resize(x, *whole, (6, 7)), x)


def test_windows_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="at least the window's 224"):
        layers.RandomShortSide((128, 256))
    with pytest.raises(ValueError, match="`height` must be a positive integer"):
        layers.RandomCrop(0, 4)
    with pytest.raises(ValueError, match="`scale` must be a pair of positive numbers"):
        layers.RandomResizedCrop(4, 4, scale=0.5)
