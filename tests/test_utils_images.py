"""Images to arrays and back, against Keras."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from kerasish import config, utils
from kerasish.utils.images import INTERPOLATIONS


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target_size": (10, 12)},
        {"target_size": (40, 33), "interpolation": "bilinear"},
        {"target_size": (16, 8), "interpolation": "lanczos"},
        {"target_size": (8, 8), "interpolation": "bicubic", "keep_aspect_ratio": True},
    ],
    ids=str,
)
def test_load_img_matches_keras(photo, color_mode, options):
    keras = pytest.importorskip("keras")

    expected = keras.utils.load_img(photo, color_mode=color_mode, **options)
    image = utils.load_img(photo, color_mode=color_mode, **options)

    assert image.mode == expected.mode
    assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_load_img_reads_bytes(photo, pixels):
    image = utils.load_img(io.BytesIO(photo.read_bytes()))

    assert np.array_equal(np.asarray(image), pixels)


def test_load_img_of_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        utils.load_img(tmp_path / "none.png")


def test_load_img_of_another_kind_of_file_names_it(tmp_path):
    (tmp_path / "notes.png").write_text("not an image")

    with pytest.raises(ValueError, match=r"Cannot read the image .*notes\.png"):
        utils.load_img(tmp_path / "notes.png")


def test_load_img_of_a_truncated_file_names_it(tmp_path, photo):
    (tmp_path / "half.png").write_bytes(photo.read_bytes()[:300])

    with pytest.raises(ValueError, match=r"Cannot read the image .*half\.png"):
        utils.load_img(tmp_path / "half.png")


def test_unknown_options_suggest_the_nearest(photo):
    with pytest.raises(ValueError, match="did you mean 'grayscale'"):
        utils.load_img(photo, color_mode="greyscale")
    with pytest.raises(ValueError, match="did you mean 'bilinear'"):
        utils.load_img(photo, interpolation="bilinea")


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_every_interpolation_is_one_of_pils(photo, name):
    assert utils.load_img(photo, target_size=(5, 6), interpolation=name).size == (6, 5)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_img_to_array_matches_keras(photo, mode, data_format):
    keras = pytest.importorskip("keras")
    image = utils.load_img(photo, color_mode="rgb").convert(mode)

    expected = keras.utils.img_to_array(image, data_format=data_format)
    array = utils.img_to_array(image, data_format=data_format)

    assert array.dtype == expected.dtype == np.float32
    assert np.array_equal(array, expected)


def test_axis_order_follows_the_setting(photo):
    image = utils.load_img(photo)

    assert utils.img_to_array(image).shape == (3, 20, 30)
    config.set_image_data_format("channels_last")
    assert utils.img_to_array(image).shape == (20, 30, 3)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [True, False])
def test_array_to_img_matches_keras(channels, data_format, scale):
    keras = pytest.importorskip("keras")
    shape = (channels, 5, 6) if data_format == "channels_first" else (5, 6, channels)
    x = np.random.default_rng(0).uniform(0, 200, shape)

    expected = keras.utils.array_to_img(x, data_format=data_format, scale=scale)
    image = utils.array_to_img(x, data_format=data_format, scale=scale)

    assert image.mode == expected.mode
    assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_array_to_img_takes_tensors_and_large_gray_values():
    x = torch.tensor([[[0.0, 60000.0]]], requires_grad=True)

    assert np.asarray(utils.array_to_img(x, scale=False)).tolist() == [[0, 60000]]


def test_array_to_img_of_a_constant_is_black():
    assert np.asarray(utils.array_to_img(np.full((1, 2, 2), 7.0))).max() == 0


@pytest.mark.parametrize("shape", [(4, 4), (1, 3, 4, 4), (2, 4, 4)], ids=str)
def test_array_to_img_refuses_what_is_no_image(shape):
    with pytest.raises(ValueError, match=r"array_to_img: .*image has"):
        utils.array_to_img(np.zeros(shape))


def test_saved_image_comes_back(tmp_path, pixels):
    x = pixels.transpose(2, 0, 1)

    utils.save_img(tmp_path / "a.png", x, scale=False)

    assert np.array_equal(utils.img_to_array(utils.load_img(tmp_path / "a.png")), x)


def test_transparency_is_dropped_for_jpeg_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="no transparency"):
        utils.save_img(tmp_path / "a.jpg", np.zeros((4, 8, 8)))

    assert utils.load_img(tmp_path / "a.jpg", color_mode="rgb").size == (8, 8)


def test_format_may_be_given(tmp_path):
    stream = io.BytesIO()
    utils.save_img(stream, np.zeros((1, 4, 4)), file_format="jpg")

    assert Image.open(stream).format == "JPEG"
