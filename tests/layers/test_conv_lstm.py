"""Convolutional LSTMs against Keras."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_signature, check_layer
from tests.layers.parity import assert_same_as_keras

SPATIAL = {1: (7,), 2: (6, 5), 3: (4, 5, 3)}
MASK = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 1]]) > 0


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": "same", "return_sequences": True, "return_state": True},
        {"padding": "same", "strides": 2, "kernel_size": 2, "use_bias": False},
        {"activation": "relu", "recurrent_activation": "hard_sigmoid", "go_backwards": True},
    ],
)
def test_convolutional_lstm_matches_keras(keras, rank, data_format, options):
    options = {"kernel_size": 3, "data_format": data_format, **options}
    name = f"ConvLSTM{rank}D"
    ours, theirs = getattr(layers, name)(4, **options), getattr(keras.layers, name)(4, **options)
    size = (2, *SPATIAL[rank]) if data_format == "channels_first" else (*SPATIAL[rank], 2)

    assert_same_as_keras(ours, theirs, torch.randn(2, 4, *size), tolerance=3e-5)


@pytest.mark.parametrize("return_sequences", [False, True])
def test_masks_and_first_states_match_keras(keras, return_sequences):
    options = {
        "data_format": "channels_last",
        "padding": "same",
        "return_sequences": return_sequences,
    }
    ours, theirs = layers.ConvLSTM2D(4, 3, **options), keras.layers.ConvLSTM2D(4, 3, **options)
    states = [torch.randn(2, 6, 5, 4) for _ in range(2)]

    assert_same_as_keras(
        ours, theirs, torch.randn(2, 4, 6, 5, 3), mask=MASK, initial_state=states, tolerance=3e-5
    )


def test_stateful_convolutional_lstm_goes_on():
    x = torch.randn(2, 4, 3, 6, 5)
    layer = layers.ConvLSTM2D(4, 3, padding="same", stateful=True)
    whole = layer(x)
    layer.reset_state()

    layer(x[:, :2])

    assert_close(layer(x[:, 2:]), whole)


def test_convolutional_lstm_in_a_functional_model():
    inputs = layers.Input((None, 3, 16, 16))

    x = layers.ConvLSTM2D(4, 3, return_sequences=True)(inputs)
    y, h, c = layers.ConvLSTM2D(5, 3, return_state=True)(x)

    assert x.shape == (None, None, 4, 14, 14)
    assert y.shape == h.shape == c.shape == (None, 5, 12, 12)


def test_dropout_acts_in_training_only():
    x = torch.randn(2, 3, 2, 6, 5)
    layer = layers.ConvLSTM2D(3, 3, dropout=0.3, recurrent_dropout=0.3, seed=1)

    calm = layer(x, training=False)

    assert torch.equal(calm, layer(x, training=False))
    assert not torch.allclose(calm, layer(x, training=True))
    config = layer.get_config()
    assert config["data_format"] == "channels_first"
    assert layers.ConvLSTM2D.from_config(config).get_config() == config


def test_errors_of_convolutional_lstm():
    with pytest.raises(ValueError, match="`filters` must be a positive integer"):
        layers.ConvLSTM2D(0, 3)
    with pytest.raises(ValueError, match="expects 5-D input"):
        layers.ConvLSTM2D(4, 3)(torch.ones(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.ConvLSTM1D(3, 3), (2, 4, 6, 3)),
        (lambda: layers.ConvLSTM2D(3, 3, return_sequences=True), (2, 4, 3, 6, 6)),
        (lambda: layers.ConvLSTM3D(3, 2, padding="same"), (2, 3, 2, 3, 3, 3)),
    ],
)
def test_what_every_layer_owes(make, shape):
    check_layer(make(), torch.randn(shape))


@pytest.mark.parametrize("name", ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"])
def test_arguments_are_those_of_keras(name):
    keras = pytest.importorskip("keras")

    assert_same_signature(getattr(layers, name), getattr(keras.layers, name))
