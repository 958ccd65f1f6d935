"""Image operations give Keras's pixels."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import ops

from .cases import IMAGES, VOLUME, call

BATCH = torch.from_numpy(IMAGES)
SHEAR = [1.1, 0.2, -1.5, 0.1, 0.9, 2.0, 0.0, 0.0]
CORNERS = [[0.0, 0.0], [8.0, 0.0], [0.0, 6.0], [8.0, 6.0]]
MOVED = [[1.0, 0.5], [7.0, 0.0], [0.0, 5.0], [8.0, 6.5]]

CASES = [
    ("rgb_to_grayscale", call()),
    ("rgb_to_hsv", call()),
    ("hsv_to_rgb", call()),
    ("resize", call((4, 5))),
    ("resize", call((12, 14), interpolation="bicubic")),
    ("resize", call((4, 4), antialias=True)),
    ("resize", call((4, 4), crop_to_aspect_ratio=True)),
    ("resize", call((4, 4), pad_to_aspect_ratio=True, fill_value=0.5)),
    ("pad_images", call(1, 2, 3, 4)),
    ("pad_images", call(1, 2, target_height=10, target_width=12)),
    ("crop_images", call(1, 2, 3, 4)),
    ("crop_images", call(1, 2, target_height=4, target_width=5)),
    ("affine_transform", call(SHEAR)),
    *[
        ("affine_transform", call(SHEAR, interpolation="nearest", fill_mode=mode, fill_value=0.3))
        for mode in ("constant", "nearest", "wrap", "mirror", "reflect")
    ],
    ("affine_transform", call([SHEAR, [1, 0, 1, 0, 1, 2, 0, 0]])),
    ("perspective_transform", call(CORNERS, MOVED)),
    ("gaussian_blur", call((3, 3), (1.0, 1.0))),
    ("gaussian_blur", call((5, 5), (1.0, 2.0))),
    ("extract_patches", call((2, 3))),
    ("extract_patches", call(3, strides=2, padding="same")),
    ("extract_patches", call(3, 1, dilation_rate=2)),
    ("sobel_edges", call()),
]
IDS = [f"{name}-{number}" for number, (name, _) in enumerate(CASES)]


def from_keras(name, x, args, kwargs):
    keras = pytest.importorskip("keras")
    args = [torch.tensor(a, dtype=torch.float32) if isinstance(a, list) else a for a in args]
    if name == "affine_transform":  # Keras wants one per image, and writes into it
        args = [args[0].expand(2, 8).clone()]
    result = getattr(keras.ops.image, name)(x, *args, data_format="channels_last", **kwargs)
    return result.cpu()


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_operation_gives_the_pixels_of_keras(name, arguments, data_format):
    args, kwargs = arguments
    expected = from_keras(name, BATCH, args, kwargs)
    first = data_format == "channels_first"
    x = BATCH.movedim(-1, 1) if first else BATCH

    y = getattr(ops.image, name)(x, *args, data_format=data_format, **kwargs)

    channels = -2 if name == "sobel_edges" else -1
    assert_close(y, expected.movedim(channels, 1) if first else expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "arguments"), [case for case in CASES if case[0] != "sobel_edges"]
)
def test_single_image_gives_what_it_gives_in_a_batch(name, arguments):
    args, kwargs = arguments
    if name == "affine_transform" and isinstance(args[0][0], list):
        pytest.skip("one transform per image")
    function = getattr(ops.image, name)

    one = function(IMAGES[0], *args, data_format="channels_last", **kwargs)
    many = function(IMAGES, *args, data_format="channels_last", **kwargs)

    assert_close(one, many[0])


def test_images_default_to_the_configured_axis_order():
    assert ops.image.resize(torch.rand(2, 3, 8, 8), (4, 6)).shape == (2, 3, 4, 6)


def test_resize_keeps_whole_numbers_in_their_range():
    x = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8)[None].repeat(3, 1, 1)

    y = ops.image.resize(x, (9, 9), interpolation="bicubic")

    assert y.dtype == torch.uint8
    assert (y.min().item(), y.max().item()) == (0, 255)


def test_nearest_and_area_resizing_of_whole_blocks_is_exact():
    x = torch.rand(1, 2, 4, 4)

    larger = ops.image.resize(x, (8, 8), interpolation="nearest")

    assert_close(ops.image.resize(larger, (4, 4), interpolation="area"), x)
    assert_close(larger[:, :, ::2, ::2], x)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("mode", ["constant", "nearest", "wrap", "mirror", "reflect"])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_map_coordinates_gives_the_values_of_keras(order, mode, dtype):
    keras = pytest.importorskip("keras")
    x = torch.from_numpy((IMAGES[0, :, :, 0] * 50).astype(dtype))
    places = torch.rand(2, 4, 5) * 14 - 3

    expected = keras.ops.image.map_coordinates(x, places, order, mode, 2.0).cpu()

    assert_close(ops.image.map_coordinates(x, places, order, mode, 2.0), expected)


@pytest.mark.parametrize("method", ["linear", "cubic", "lanczos3", "lanczos5"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("scale", [[0.6, 0.5], [1.7, 1.0]])
def test_scale_and_translate_gives_the_values_of_keras(method, antialias, scale):
    keras = pytest.importorskip("keras")
    arguments = (2, 8, 8, 3), torch.tensor(scale), torch.tensor([0.4, -1.0]), (1, 2), method

    expected = keras.ops.image.scale_and_translate(BATCH, *arguments, antialias=antialias).cpu()

    y = ops.image.scale_and_translate(BATCH, *arguments, antialias=antialias)
    assert_close(y, expected, rtol=1e-3, atol=1e-4)


def test_patches_of_volumes_are_those_of_keras():
    keras = pytest.importorskip("keras")
    x = torch.from_numpy(VOLUME)

    expected = keras.ops.image.extract_patches_3d(x, (2, 3, 2), data_format="channels_last").cpu()

    assert_close(ops.image.extract_patches_3d(x, (2, 3, 2), data_format="channels_last"), expected)
    assert_close(ops.image.extract_patches(x, (2, 3, 2), data_format="channels_last"), expected)


@pytest.mark.parametrize("max_val", [1.0, 255.0])
def test_similarity_is_that_of_keras(max_val):
    keras = pytest.importorskip("keras")
    x = torch.rand(2, 16, 18, 3) * max_val
    y = x + 0.1 * max_val * torch.randn_like(x)

    ours = ops.image.ssim(x, y, max_val=max_val, data_format="channels_last")

    theirs = keras.ops.image.ssim(x, y, max_val=max_val, data_format="channels_last").cpu()
    assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert ops.image.ssim(x, x, max_val, data_format="channels_last").tolist() == pytest.approx(
        [1, 1]
    )


def test_elastic_transform_moves_pixels_smoothly_and_repeats_from_its_seed():
    x = torch.rand(2, 3, 20, 20)

    y = ops.image.elastic_transform(x, alpha=1.0, sigma=3.0, seed=3)

    assert y.shape == x.shape
    assert not torch.equal(y, x)
    assert_close(ops.image.elastic_transform(x, alpha=1.0, sigma=3.0, seed=3), y)
    assert_close(ops.image.elastic_transform(x, alpha=0.0), x)


def test_perspective_transform_takes_points_to_points():
    x = torch.rand(1, 1, 9, 9)
    turned = [[8.0, 0.0], [8.0, 8.0], [0.0, 0.0], [0.0, 8.0]]  # a quarter turn
    corners = [[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]]

    y = ops.image.perspective_transform(x, corners, turned)

    assert_close(y, x.rot90(-1, (2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.image.resize(IMAGES, (4, 4), "lanczos9"), "unknown interpolation 'lanczos9'"),
        (lambda: ops.image.resize(np.ones((2, 2)), (4, 4)), "an image .3 axes. or a batch"),
        (lambda: ops.image.pad_images(BATCH, 1, 1, 1, 1, 5), "two of the two borders and the targ"),
        (lambda: ops.image.crop_images(BATCH, 9, 9, 9, 9), "do not fit a height of"),
        (lambda: ops.image.rgb_to_hsv(torch.rand(2, 9, 9, 3)), "3 channels on axis -3"),
        (lambda: ops.image.rgb_to_hsv((BATCH * 9).int()), "expects floats"),
        (lambda: ops.image.map_coordinates(BATCH, [[1.0]], 1), "needs as many coordinates"),
        (lambda: ops.image.perspective_transform(BATCH, [[1]], [[1]]), "`start_points` must be"),
        (lambda: ops.image.ssim(BATCH, BATCH[:1]), "images of one shape"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
