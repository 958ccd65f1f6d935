"""Fourier transforms. Complex numbers are pairs of tensors: real and imaginary parts."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish.describe import describe
from kerasish.initializers.stft import make_window
from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, recorded

Pair = tuple[torch.Tensor, torch.Tensor]


def _complex(x: Any) -> torch.Tensor:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(f"A pair (real, imaginary) is expected, got {describe(x)}.")
    real, imaginary = as_float(x[0]), as_float(x[1])
    if real.shape != imaginary.shape:
        raise ValueError(
            f"Real and imaginary part must have one shape, got {describe(real)} and "
            f"{describe(imaginary)}."
        )
    return torch.complex(real, imaginary)


def _pair(x: torch.Tensor) -> Pair:
    return x.real, x.imag


@recorded
def fft(x: Any) -> Pair:
    """The Fourier transform of the last axis."""
    return _pair(torch.fft.fft(_complex(x)))


@recorded
def fft2(x: Any) -> Pair:
    """The Fourier transform of the last two axes."""
    return _pair(torch.fft.fft2(_complex(x)))


@recorded
def ifft2(x: Any) -> Pair:
    """The inverse of `fft2`."""
    return _pair(torch.fft.ifft2(_complex(x)))


@recorded
def rfft(x: TensorLike, fft_length: int | None = None) -> Pair:
    """The first half of the Fourier transform of real numbers (the other mirrors it).

    Shapes:
        x: `(..., time)`
        output: two of `(..., fft_length // 2 + 1)`
    """
    return _pair(torch.fft.rfft(as_float(x), n=fft_length))


@recorded
def irfft(x: Any, fft_length: int | None = None) -> torch.Tensor:
    """The inverse of `rfft`."""
    return torch.fft.irfft(_complex(x), n=fft_length)


@recorded
def stft(
    x: TensorLike,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Pair:
    """The Fourier transform of short windows that move along the last axis.

    Args:
        x: Real numbers, `(..., time)`.
        sequence_length: Size of a window.
        sequence_stride: Its steps.
        fft_length: Size of the transform, not below `sequence_length`.
        window: The name of a window, its values, or `None`.
        center: Whether the signal is reflected at both ends, so that windows centre on all of it.

    Returns:
        Real and imaginary part, each `(..., windows, fft_length // 2 + 1)`.
    """
    x = as_float(x)
    spectrum = torch.stft(
        x.reshape(-1, x.shape[-1]),
        fft_length,
        sequence_stride,
        sequence_length,
        _window(window, sequence_length, x),
        center=center,
        return_complex=True,
    )
    spectrum = spectrum.transpose(-2, -1)
    return _pair(spectrum.reshape(*x.shape[:-1], *spectrum.shape[-2:]))


@recorded
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> torch.Tensor:
    """The inverse of `stft`: windows overlapped, added and divided by what they add up to.

    Args:
        x: Real and imaginary part, each `(..., windows, fft_length // 2 + 1)`.
        sequence_length: As in `stft`.
        sequence_stride: As in `stft`.
        fft_length: As in `stft`.
        length: The length of the result, cut or filled with zeros.
        window: As in `stft`.
        center: As in `stft`.
    """
    spectrum = _complex(x)
    frames = torch.fft.irfft(spectrum, n=fft_length)
    before = (fft_length - sequence_length) // 2
    after = fft_length - sequence_length - before
    weights = F.pad(_window(window, sequence_length, frames), (before, after))
    total = fft_length + sequence_stride * (frames.shape[-2] - 1)

    def overlap(windows: torch.Tensor) -> torch.Tensor:
        columns = windows.reshape(-1, *windows.shape[-2:]).transpose(1, 2)
        return F.fold(columns, (1, total), (1, fft_length), stride=(1, sequence_stride))[:, 0, 0]

    signal = overlap(frames * weights)
    weight = overlap((weights**2).expand(1, *frames.shape[-2:]))
    signal = torch.where(weight > 1e-10, signal / weight.clamp(min=1e-10), signal)
    start = fft_length // 2 if center else 0
    if length is None:
        signal = signal[:, start : total - start]
    else:
        signal = F.pad(signal[:, start : start + length], (0, max(0, length - (total - start))))
    return signal.reshape(*spectrum.shape[:-2], -1)


def _window(window: Any, size: int, like: torch.Tensor) -> torch.Tensor:
    if window is None:
        return like.new_ones(size)
    if isinstance(window, str):
        # There at once: copies to a GPU are waited for.
        with like.device if like.is_cuda else nullcontext():
            return make_window(window, size, periodic=True).to(like)
    values = convert_to_tensor(window)
    if values.shape != (size,):
        raise ValueError(f"`window` must have shape ({size},), got {describe(values)}.")
    return values.to(like)
