"""Adaptive equalisation and the number of boxes, against Keras."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_signature, check_layer


@pytest.mark.parametrize("size", [(48, 64), (60, 96), (150, 72)])
@pytest.mark.parametrize("clip_limit", [0.0, 1.5, 4.0])
def test_equalisation_by_tiles_is_that_of_keras(size, clip_limit):
    keras = pytest.importorskip("keras")
    x = torch.randint(0, 200, (2, *size, 3)).float()
    arguments = {"clip_limit": clip_limit, "tile_grid_size": (3, 4), "data_format": "channels_last"}
    name = "ContrastLimitedAdaptiveHistogramEqualization"
    ours, theirs = getattr(layers, name)(**arguments), getattr(keras.layers, name)(**arguments)

    assert_close(ours(x), theirs(x), rtol=0, atol=0.02)
    assert_close(ours(x, training=False), ours(x))
    assert_same_signature(type(ours), type(theirs))


def test_equalisation_by_tiles_does_what_all_layers_owe():
    name = "ContrastLimitedAdaptiveHistogramEqualization"
    y = check_layer(getattr(layers, name)((0, 1)), torch.rand(2, 3, 24, 24))

    assert 0 <= float(y.min()) <= float(y.max()) <= 1


def test_tiles_past_the_border_see_its_mirror_image():
    # Tiles of 16 × 16 pixels, which 46 rows and 61 columns do not fill.
    x = torch.randint(0, 256, (2, 3, 46, 61)).float()
    mirrored = torch.cat([x, x[:, :, 44:].flip(2)], 2)
    mirrored = torch.cat([mirrored, mirrored[..., 58:].flip(3)], 3)
    layer = layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(3, 4))

    assert mirrored.shape[-2:] == (48, 64)
    assert_close(layer(x), layer(mirrored)[:, :, :46, :61], rtol=0, atol=1e-3)


def test_scales_agree():
    layer = layers.ContrastLimitedAdaptiveHistogramEqualization
    x = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)

    unit = layer((0, 1))(x / 255) * 255

    assert_close(layer()(x).float(), unit.round(), rtol=0, atol=1.0)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_boxes_are_cut_off_or_filled_up(number):
    keras = pytest.importorskip("keras")
    data = {
        "images": torch.rand(2, 8, 8, 3),
        "bounding_boxes": {"boxes": torch.rand(2, 3, 4), "labels": torch.rand(2, 3)},
    }
    theirs = keras.layers.MaxNumBoundingBoxes(number)
    expected = theirs.transform_bounding_boxes(data["bounding_boxes"], None)

    changed = layers.MaxNumBoundingBoxes(number)(data)["bounding_boxes"]

    assert_close(changed["boxes"], expected["boxes"])
    assert_close(changed["labels"], expected["labels"])


def test_data_without_boxes_are_refused():
    with pytest.raises(ValueError, match="'bounding_boxes'"):
        layers.MaxNumBoundingBoxes(2)(torch.rand(2, 3))
