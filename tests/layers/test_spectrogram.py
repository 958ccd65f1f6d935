"""Spectrograms against Keras, torch's own Fourier transform and pure tones."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import layers
from tests.layers.harness import assert_same_as_keras, check_layer

SOUND = torch.randn(2, 400, 2)


@pytest.mark.parametrize("mode", ["log", "magnitude", "psd", "real", "imag", "angle", "stft"])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("expand_dims", [False, True])
def test_stft_is_that_of_keras(mode, data_format, expand_dims):
    keras = pytest.importorskip("keras")
    x = SOUND if data_format == "channels_last" else SOUND.transpose(1, 2).contiguous()
    options = {"frame_length": 64, "data_format": data_format, "expand_dims": expand_dims}

    assert_same_as_keras(
        layers.STFTSpectrogram(mode, **options),
        keras.layers.STFTSpectrogram(mode, **options),
        x,
        atol=1e-4,
        gradients=mode != "angle",
    )


@pytest.mark.parametrize(
    "options",
    [
        {"frame_length": 50, "frame_step": 20, "fft_length": 128, "padding": "same"},
        {"frame_length": 64, "window": "hamming", "periodic": True, "scaling": "spectrum"},
        {"frame_length": 64, "window": None, "scaling": None},
        {"frame_length": 4, "window": [0.5, 1.0, 1.0, 0.5]},
        {"frame_length": 3, "frame_step": 1},
    ],
    ids=str,
)
def test_stft_has_the_kernels_of_keras(options):
    keras = pytest.importorskip("keras")
    ours = layers.STFTSpectrogram("magnitude", data_format="channels_last", **options)
    theirs = keras.layers.STFTSpectrogram("magnitude", data_format="channels_last", **options)

    y, expected = ours(SOUND), theirs(SOUND)

    for mine, their in zip(ours.get_weights(), theirs.weights, strict=True):
        assert np.allclose(mine, their.value.detach().numpy(), atol=3e-5)
    assert_close(y, expected, atol=1e-4, rtol=1e-4)


def test_stft_owes():
    check_layer(layers.STFTSpectrogram(frame_length=32), torch.randn(2, 100, 1), (2, 5, 17))


def test_sequences_are_channels_last_and_images_in_the_image_format():
    y = layers.STFTSpectrogram(frame_length=32)(torch.randn(2, 100, 3))
    assert y.shape == (2, 5, 51)
    image = layers.STFTSpectrogram(frame_length=32, expand_dims=True)(torch.randn(2, 3, 100))
    assert image.shape == (2, 3, 5, 17)


def test_a_tone_is_where_it_belongs():
    time = torch.arange(1024) / 1024
    tone = torch.sin(2 * torch.pi * 128 * time).reshape(1, -1, 1)

    y = layers.STFTSpectrogram("magnitude", frame_length=256)(tone)

    # Of 129 frequencies from 0 to 512 hertz.
    assert (y.argmax(-1) == 32).all()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"frame_length": 1}, "`frame_length` must be at least 2"),
        ({"mode": "power"}, "`mode` must be one of 'log'"),
        ({"frame_step": 300}, "must not exceed frame_length=256"),
        ({"frame_step": 0}, "`frame_step` must be a positive integer"),
        ({"fft_length": 128}, "must not be below frame_length=256"),
        ({"window": "hat"}, "hat"),
        ({"scaling": "mean"}, "`scaling` must be one of"),
        ({"padding": "full"}, "`padding` must be one of"),
    ],
    ids=str,
)
def test_stft_refuses(arguments, text):
    with pytest.raises(ValueError, match=text):
        layers.STFTSpectrogram(**arguments)


def test_stft_inputs_that_do_not_fit():
    with pytest.raises(TypeError, match="expects samples in floating point"):
        layers.STFTSpectrogram()(torch.ones(1, 300, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match="One channel of sound is an axis of size 1"):
        layers.STFTSpectrogram()(torch.ones(1, 300))
    with pytest.warns(UserWarning, match="fft_length=300 is better a power of two"):
        layers.STFTSpectrogram(fft_length=300)


# MelSpectrogram


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"power_to_db": False, "mag_exp": 1.0},
        {"num_mel_bins": 20, "min_freq": 100.0, "max_freq": 3000.0, "sampling_rate": 8000},
        {"fft_length": 512, "sequence_length": 400, "sequence_stride": 160, "window": "hamming"},
        {"window": None, "top_db": 20.0, "ref_power": 5.0, "min_power": 1e-3},
    ],
    ids=str,
)
def test_mel_is_that_of_keras(options):
    keras = pytest.importorskip("keras")
    x = torch.randn(2, 6000)

    assert_same_as_keras(
        layers.MelSpectrogram(**options),
        keras.layers.MelSpectrogram(**options),
        x,
        atol=1e-2,
        rtol=1e-3,
        gradients=False,
    )


def test_mel_owes():
    layer = layers.MelSpectrogram(fft_length=64, sequence_stride=16, num_mel_bins=8)
    check_layer(layer, torch.randn(2, 200), (2, 8, 13))


def test_one_signal_without_a_batch():
    layer = layers.MelSpectrogram(fft_length=64, sequence_stride=16, num_mel_bins=8)
    x = torch.randn(200)

    assert_close(layer(x), layer(x[None])[0])


def test_signals_of_unknown_length():
    inputs = layers.Input((None,))
    model = kerasish.Model(inputs, layers.MelSpectrogram()(inputs))

    assert model(torch.randn(2, 4000)).shape == (2, 128, 8)


def test_mel_refuses():
    with pytest.raises(ValueError, match="must not exceed fft_length=64"):
        layers.MelSpectrogram(fft_length=64, sequence_length=65)
    with pytest.raises(ValueError, match="needs more than fft_length // 2 = 1024 samples"):
        layers.MelSpectrogram()(torch.ones(2, 1000))
    with pytest.raises(ValueError, match="Drop the channel axis"):
        layers.MelSpectrogram()(torch.ones(2, 4000, 1))
