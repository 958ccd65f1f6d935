"""WAV files of all kinds against scipy and the standard library, and resampling of known sounds."""

import math
import struct
import wave

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from kerasish.utils.wav import read_wav, resample


def write_pcm(path, whole_numbers, width, rate=8000):
    """The standard library's WAV file; numbers are (samples, channels)."""
    flat = np.asarray(whole_numbers).astype("<i4")
    if width == 1:
        data = (flat + 128).astype(np.uint8).tobytes()
    else:
        data = b"".join(int(n).to_bytes(width, "little", signed=True) for n in flat.ravel())
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(flat.shape[1])
        stream.setsampwidth(width)
        stream.setframerate(rate)
        stream.writeframes(data)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_whole_numbers_are_divided_by_the_greatest(width, channels, tmp_path):
    top = 2 ** (8 * width - 1)
    numbers = np.array([-top, -top // 2, 0, 1, top // 4, top - 1] * channels).reshape(-1, channels)
    write_pcm(tmp_path / "a.wav", numbers, width, rate=16_000)

    sound, rate = read_wav(tmp_path / "a.wav")

    assert rate == 16_000
    assert sound.dtype == torch.float32
    assert_close(sound, torch.from_numpy((numbers / top).astype(np.float32)), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_files_of_scipy_are_read(dtype, tmp_path):
    wavfile = pytest.importorskip("scipy.io.wavfile")
    x = np.linspace(-0.9, 0.8, 24).reshape(12, 2)
    scale = {np.uint8: 127, np.int16: 32767, np.int32: 2**31 - 1}.get(dtype, 1)
    shift = 128 if dtype is np.uint8 else 0
    wavfile.write(tmp_path / "a.wav", 11_025, (x * scale + shift).astype(dtype))

    sound, rate = read_wav(tmp_path / "a.wav")

    assert rate == 11_025
    assert_close(sound.double(), torch.from_numpy(x), rtol=0, atol=0.02 if scale == 127 else 1e-4)


def riff(*chunks):
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(content) if size is None else size) + content
        for name, content, size in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def layout(code=1, channels=1, bits=16, more=b""):
    return struct.pack("<HHIIHH", code, channels, 8000, 0, 0, bits) + more


SAMPLES = struct.pack("<4h", 0, 16384, -16384, -32768)
WANTED = torch.tensor([[0.0], [0.5], [-0.5], [-1.0]])
EXTENSION = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)


@pytest.mark.parametrize(
    "content",
    [
        riff((b"fmt ", layout(), None), (b"data", SAMPLES, None)),
        riff((b"fmt ", layout(0xFFFE, more=EXTENSION), None), (b"data", SAMPLES, None)),
        riff((b"fmt ", layout(), None), (b"LIST", b"abc\0", 3), (b"data", SAMPLES, None)),
        riff((b"fmt ", layout(), None), (b"data", SAMPLES, None), (b"LIST", b"ab", None)),
        riff((b"fmt ", layout(), None), (b"data", SAMPLES, 0xFFFFFFFF)),
    ],
    ids=["plain", "extensible", "odd chunk before", "chunk behind", "size unknown"],
)
def test_files_of_other_programs_are_read(content, tmp_path):
    (tmp_path / "a.wav").write_bytes(content)

    assert torch.equal(read_wav(tmp_path / "a.wav")[0], WANTED)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is no WAV file"),
        (b"<html>", "it is no WAV file"),
        (riff((b"fmt ", layout(), None)), "it has no samples"),
        (riff((b"data", SAMPLES, None)), "does not say how"),
        (riff((b"fmt ", layout(), None), (b"data", SAMPLES, 100)), "ends after 8 of 100 bytes"),
        (riff((b"fmt ", layout(17, bits=4), None), (b"data", SAMPLES, None)), "coding 17 with 4"),
        (riff((b"fmt ", layout(), None), (b"data", SAMPLES[:7], None)), "buffer size"),
        (riff((b"fmt ", layout(channels=3), None), (b"data", SAMPLES, None)), "whole samples"),
    ],
)
def test_broken_files_are_named(content, words, tmp_path):
    (tmp_path / "a.wav").write_bytes(content)

    with pytest.raises(ValueError, match=rf"Cannot read the sound .*a\.wav: .*{words}"):
        read_wav(tmp_path / "a.wav")


def tone(hertz, rate, seconds=0.25):
    return torch.sin(2 * math.pi * hertz * torch.arange(round(rate * seconds)) / rate)[:, None]


@pytest.mark.parametrize(
    ("rate", "new_rate"), [(8000, 16_000), (44_100, 16_000), (16_000, 8000), (8000, 11_025)]
)
def test_tone_stays_the_tone_at_another_rate(rate, new_rate):
    sound = torch.cat([tone(440, rate), tone(1000, rate)], 1)

    changed = resample(sound, rate, new_rate)

    expected = torch.cat([tone(440, new_rate), tone(1000, new_rate)], 1)
    assert changed.shape[0] == math.ceil(len(sound) * new_rate / rate)
    inner = slice(100, len(expected) - 100)  # the borders hear the silence around
    assert_close(changed[inner], expected[inner], rtol=0, atol=2e-3)


def test_tones_too_high_for_the_new_rate_are_gone():
    sound = tone(1000, 16_000) + tone(6000, 16_000)

    changed = resample(sound, 16_000, 8000)

    assert_close(changed[100:1900], tone(1000, 8000)[100:1900], rtol=0, atol=2e-3)


def test_resampling_is_near_that_of_scipy():
    signal = pytest.importorskip("scipy.signal")
    generator = torch.Generator().manual_seed(1)
    smooth = resample(torch.randn(400, 1, generator=generator), 2000, 8000)  # below 1 kHz

    ours = resample(smooth, 8000, 6000)

    theirs = torch.from_numpy(signal.resample_poly(smooth.numpy(), 3, 4))
    assert ours.shape == theirs.shape
    assert_close(ours[50:-50], theirs[50:-50], rtol=0, atol=0.02)


def test_same_rate_and_silence_of_no_length_stay_as_they_are():
    sound = torch.randn(5, 2)

    assert resample(sound, 8000, 8000) is sound
    assert resample(sound[:0], 8000, 16_000).shape == (0, 2)


@pytest.mark.parametrize(
    ("place", "form", "number", "words"),
    [
        (22, "<H", 0, "0 channels"),
        (24, "<I", 0, "0 samples a second"),
    ],
)
def test_headers_that_make_no_sense_are_explained(place, form, number, words, tmp_path):
    write_pcm(tmp_path / "a.wav", np.zeros((100, 1)), 2)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    struct.pack_into(form, content, place, number)
    (tmp_path / "a.wav").write_bytes(content)

    with pytest.raises(ValueError, match=rf"Cannot read the sound .*a\.wav: .*{words}"):
        read_wav(tmp_path / "a.wav")


def test_rates_without_a_common_divisor_take_little_memory(monkeypatch):
    largest, convolve = [0], torch.nn.functional.conv1d

    def watched(x, kernels, **options):
        largest.append(max(kernels.numel(), x.numel()))
        return convolve(x, kernels, **options)

    monkeypatch.setattr(torch.nn.functional, "conv1d", watched)
    sound = tone(440, 44_100, 1.0)

    changed = resample(sound, 44_100, 44_101)

    assert_close(changed[100:-100], tone(440, 44_101, 1.0)[100:-100], rtol=0, atol=2e-3)
    assert max(largest) < 200_000  # a table of all places has two thousand million numbers


@given(
    count=st.integers(1, 60),
    rate=st.integers(1, 40),
    new_rate=st.integers(1, 700),
)
def test_resampling_is_the_sum_of_windowed_sincs(count, rate, new_rate):
    sound = torch.randn(count, 2, dtype=torch.float64)
    ratio = new_rate / rate
    cutoff = min(1.0, ratio)

    changed = resample(sound, rate, new_rate)

    places = torch.arange(len(changed), dtype=torch.float64) / ratio  # at one rate those of old
    x = (places[:, None] - torch.arange(count)) * cutoff
    window = torch.cos(x / 16 * (math.pi / 2)).square() * (x.abs() < 16)
    assert len(changed) == -(-count * new_rate // rate)
    assert_close(changed, (torch.sinc(x) * window * cutoff) @ sound)
