"""Settings shared by all tests."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import pytest
import torch

import kerasish

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed():
    """Every test starts from the same random state and default settings."""
    torch.manual_seed(0)
    yield
    kerasish.config.set_floatx("float32")
    kerasish.config.set_image_data_format("channels_first")
