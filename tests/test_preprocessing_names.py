"""Keras's older addresses of helpers."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import preprocessing, utils
from tests.layers.parity import in_peace


def test_older_addresses_lead_to_utils():
    assert preprocessing.sequence.pad_sequences is utils.pad_sequences
    assert preprocessing.image.load_img is utils.load_img
    assert preprocessing.image_dataset_from_directory is utils.image_dataset_from_directory


@pytest.mark.parametrize("shape", [(9, 6, 3), (2, 5, 8, 3)])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_smart_resize_is_that_of_keras(shape, interpolation):
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(0).uniform(size=shape).astype("float32")
    options = {"interpolation": interpolation, "data_format": "channels_last"}

    y = preprocessing.image.smart_resize(x, (4, 4), **options)
    expected = in_peace(keras.preprocessing.image.smart_resize, x, (4, 4), **options)

    assert isinstance(y, np.ndarray)
    assert_close(y, np.asarray(expected), rtol=1e-5, atol=1e-5)


def test_smart_resize_gives_a_tensor_for_a_tensor():
    y = preprocessing.image.smart_resize(torch.ones(3, 9, 6, dtype=torch.uint8), (4, 4))

    assert_close(y, torch.ones(3, 4, 4))
