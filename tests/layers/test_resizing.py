"""Resizing and CenterCrop against Keras."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_as_keras, check_layer


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("size", [(4, 5), (13, 17), (9, 3)], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"antialias": True}, {"crop_to_aspect_ratio": True}], ids=str
)
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_resizing_is_that_of_keras(interpolation, size, options, data_format):
    keras = pytest.importorskip("keras")
    shape = (2, 3, 8, 11) if data_format == "channels_first" else (2, 8, 11, 3)
    options = {**options, "interpolation": interpolation, "data_format": data_format}

    assert_same_as_keras(
        layers.Resizing(*size, **options),
        keras.layers.Resizing(*size, **options),
        torch.rand(shape),
    )


def test_padding_to_the_aspect_ratio_is_that_of_keras():
    keras = pytest.importorskip("keras")
    options = {"pad_to_aspect_ratio": True, "fill_value": 0.5, "data_format": "channels_first"}
    x = torch.rand(2, 3, 8, 12)

    for size in [(6, 6), (12, 4), (3, 9)]:
        y = layers.Resizing(*size, **options)(x)
        assert_close(y, keras.layers.Resizing(*size, **options)(x))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32], ids=str)
def test_integers_are_rounded_and_stay(dtype):
    keras = pytest.importorskip("keras")
    x = torch.randint(0, 255, (1, 3, 7, 7)).to(dtype)

    y = layers.Resizing(3, 5, data_format="channels_first")(x)

    assert_close(y, keras.layers.Resizing(3, 5, data_format="channels_first")(x))


def test_resizing_owes():
    check_layer(layers.Resizing(4, 6), torch.rand(2, 3, 8, 8), (2, 3, 4, 6))
    assert layers.Resizing(4, 6)(torch.rand(3, 8, 8)).shape == (3, 4, 6)


def test_images_of_unknown_size():
    y = layers.Resizing(4, 6, crop_to_aspect_ratio=True)(layers.Input((3, None, None)))

    assert y.shape == (None, 3, 4, 6)


def test_resizing_refuses():
    with pytest.raises(ValueError, match="`height` must be a positive integer"):
        layers.Resizing(0, 3)
    with pytest.raises(ValueError, match="`interpolation` must be one of 'bilinear'"):
        layers.Resizing(3, 3, "linear")
    with pytest.raises(ValueError, match="crop or pad"):
        layers.Resizing(3, 3, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)
    with pytest.raises(ValueError, match="Images have a channel axis"):
        layers.Resizing(3, 3)(torch.ones(4, 4))


@pytest.mark.parametrize("size", [(4, 5), (5, 4), (8, 11), (9, 3), (16, 16)], ids=str)
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_center_crop_is_that_of_keras(size, data_format):
    keras = pytest.importorskip("keras")
    shape = (2, 3, 8, 11) if data_format == "channels_first" else (2, 8, 11, 3)

    assert_same_as_keras(
        layers.CenterCrop(*size, data_format=data_format),
        keras.layers.CenterCrop(*size, data_format=data_format),
        torch.rand(shape),
    )


def test_center_crop_owes():
    check_layer(layers.CenterCrop(4, 6), torch.rand(2, 3, 8, 8), (2, 3, 4, 6))
    assert layers.CenterCrop(2, 3)(torch.ones(3, 5, 5, dtype=torch.uint8)).dtype == torch.float32


# What comes with images


@pytest.mark.parametrize(
    ("layer", "boxes"),
    [
        (layers.Resizing(4, 4, bounding_box_format="xyxy"), [1, 0, 2, 2]),
        (
            layers.Resizing(8, 8, crop_to_aspect_ratio=True, bounding_box_format="xyxy"),
            [0, 0, 4, 4],
        ),
        (
            layers.Resizing(8, 8, pad_to_aspect_ratio=True, bounding_box_format="xyxy"),
            [2, 2, 4, 4],
        ),
        (layers.CenterCrop(4, 4, bounding_box_format="xyxy"), [0, 0, 2, 2]),
        (layers.CenterCrop(16, 16, bounding_box_format="xyxy"), [0, 0, 8, 8]),
    ],
    ids=["stretch", "crop", "pad", "center", "too small"],
)
def test_boxes_and_masks_move_with_the_pixels(layer, boxes):
    image = torch.zeros(1, 1, 8, 16)
    image[..., 0:4, 4:8] = 1
    data = {
        "images": image,
        "segmentation_masks": image.long(),
        "bounding_boxes": {
            "boxes": torch.tensor([[[4.0, 0.0, 8.0, 4.0]]]),
            "labels": torch.tensor([[3]]),
        },
        "labels": torch.tensor([7]),
    }

    y = layer(data)

    left, top, right, bottom = boxes
    assert y["bounding_boxes"]["boxes"].tolist() == [[boxes]]
    assert y["bounding_boxes"]["labels"].tolist() == [[3]]
    assert y["labels"].tolist() == [7]
    expected = torch.zeros(1, 1, layer.height, layer.width, dtype=torch.int64)
    expected[..., top:bottom, left:right] = 1
    assert_close(y["segmentation_masks"], expected)


def test_labels_pass_and_datasets_are_mapped():
    x, y = torch.rand(4, 3, 8, 8), torch.arange(4)
    layer = layers.Resizing(4, 4)

    small, labels = layer((x, y))

    assert_close(small, layer(x))
    assert_close(labels, y)
    ((mapped, targets),) = list(layer.map([(x, y)]))
    assert_close(mapped, small)
    assert_close(targets, y)
