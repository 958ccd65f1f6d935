"""Settings of the comparisons with Keras."""

import pytest

import kerasish


@pytest.fixture
def keras_image_format():
    """Defaults that depend on the axis order of images are compared in Keras's own."""
    kerasish.config.set_image_data_format("channels_last")
