"""WAV files as arrays in [-1, 1], and their change from one sampling rate to another."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN_SIZE = 0xFFFFFFFF  # written by programs that did not know the length when they began
PLACES = 256  # new samples whose surroundings are computed at once
ZEROS = 16  # crossings of the sinc to each side: more is sharper at the cut-off and slower


def read_wav(path: str | os.PathLike) -> tuple[Tensor, int]:
    """Read a WAV file of 8-, 16-, 24- or 32-bit integers, or of floats.

    Integers are divided by their greatest magnitude (2¹⁵ for 16 bits).

    Shapes:
        sound: `(samples, channels)`, float32

    Returns:
        The sound and its sampling rate in Hz.

    Raises:
        ValueError: If the file is no WAV file, cut off, or of another kind.
    """
    content = Path(path).read_bytes()
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError(f"Cannot read the sound {path}: it is no WAV file.")
    try:
        layout, data = _chunks(content)
        if not layout:
            raise ValueError("it does not say how its samples are coded")
        code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", layout)
        if code == EXTENSIBLE:
            (code,) = struct.unpack_from("<H", layout, 24)
        if not channels or not rate:
            raise ValueError(f"it says it has {channels} channels and {rate} samples a second")
        values = _numbers(data, code, bits)
        if len(values) % channels:
            raise ValueError(
                f"its {len(values):,} numbers do not make whole samples of {channels} channels"
            )
        return torch.from_numpy(values.reshape(-1, channels)), rate
    except (struct.error, ValueError) as error:
        raise ValueError(f"Cannot read the sound {path}: {error}.") from error


def _chunks(content: bytes) -> tuple[bytes, bytes]:
    """What the file says of its samples, and the samples."""
    layout, place = b"", 12
    while place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        place += 8
        if name == b"data":
            if size != UNKNOWN_SIZE and place + size > len(content):
                raise ValueError(f"it ends after {len(content) - place:,} of {size:,} bytes")
            return layout, content[place : place + size]
        if name == b"fmt ":
            layout = content[place : place + size]
        place += size + size % 2
    raise ValueError("it has no samples in it")


def _numbers(data: bytes, code: int, bits: int) -> np.ndarray:
    if code == FLOAT and bits in (32, 64):
        return np.frombuffer(data, f"<f{bits // 8}").astype(np.float32)
    if code != PCM or bits not in (8, 16, 24, 32):
        raise ValueError(f"its coding {code} with {bits} bits is neither PCM nor float")
    if bits == 8:  # the only one without a sign
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    if bits == 24:
        whole = np.zeros((len(data) // 3, 4), np.uint8)
        whole[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data, bits = whole.tobytes(), 32
    return (np.frombuffer(data, f"<i{bits // 8}") / 2.0 ** (bits - 1)).astype(np.float32)


def resample(sound: Tensor, rate: int, new_rate: int) -> Tensor:
    """The sound at another sampling rate, without the frequencies that it cannot hold.

    A windowed sinc is laid at each new sample's place among the old ones.

    Shapes:
        sound: `(samples, channels)`
        output: `(ceil(samples * new_rate / rate), channels)`
    """
    if rate == new_rate or not len(sound):
        return sound
    common = math.gcd(rate, new_rate)
    down, up = rate // common, new_rate // common
    cutoff = min(1.0, up / down)
    reach = math.ceil(ZEROS / cutoff)
    length = math.ceil(len(sound) * up / down)
    steps = math.ceil(length / up)
    padded = F.pad(sound.T[:, None], (reach, reach + 1 + steps * down - len(sound)))
    # The places of new samples repeat after `up` of them, which is after `down` old ones. With
    # rates of no common divisor that is never: the table of all would take gigabytes.
    phases = torch.arange(min(up, length), dtype=torch.float64) * down / up
    parts = []
    for places in phases.split(PLACES):
        first, last = int(places[0]), int(places[-1])
        distance = places[:, None] - torch.arange(first - reach, last + reach + 2)
        window = torch.cos(distance * cutoff / ZEROS * (math.pi / 2)).square()
        window[distance.abs() * cutoff >= ZEROS] = 0
        kernels = (torch.sinc(distance * cutoff) * window * cutoff).to(sound.dtype)
        part = F.conv1d(padded[..., first:], kernels[:, None], stride=down)
        parts.append(part[..., :steps])  # (channels, places, steps)
    return torch.cat(parts, 1).transpose(1, 2).flatten(1)[:, :length].T.contiguous()
