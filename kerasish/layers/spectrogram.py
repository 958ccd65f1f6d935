"""Layers from sound to pictures of it: how strong each frequency is at each time."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish import initializers
from kerasish.config import as_image_format, epsilon
from kerasish.describe import describe
from kerasish.initializers.stft import make_window
from kerasish.layers.base import Layer
from kerasish.layers.checks import one_of, positive_int
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.weights import KerasWeight, convolution_kernel
from kerasish.layers.windows import same_padding
from kerasish.ops.signal import stft

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(Layer):
    """A short-time Fourier transform as two learnable convolutions, cosines and sines.

    Shapes:
        input: `(batch, time, channels)` or, channels-first, `(batch, channels, time)`
        real, imag: `(frequencies, 1, frame_length)` in `state_dict`; `(frame_length, 1,
            frequencies)` in `get_weights`
        output: `(batch, frames, channels * frequencies)`, or, channels-first, `(batch, channels *
            frequencies, frames)`; with `expand_dims`, `(batch, frames, frequencies, channels)` or
            `(batch, channels, frames, frequencies)`. There are `fft_length // 2 + 1` frequencies,
            twice as many for `"stft"`.

    Args:
        mode: `"log"`: the logarithm of the magnitude; `"magnitude"`; `"psd"`: its square, doubled
            but for the first and last frequency; `"real"` or `"imag"`: that part; `"angle"`;
            `"stft"`: both parts.
        frame_length: Samples in a frame.
        frame_step: Samples from frame to frame, half a frame by default.
        fft_length: Size of the transform, by default the power of two that is not below
            `frame_length`.
        window: The name of a window, its values, or `None`.
        periodic: Whether a named window is periodic instead of symmetric.
        scaling: `"density"`, `"spectrum"` or `None`: what windows are divided by.
        padding: `"valid"` or `"same"`.
        expand_dims: Whether the output is an image.
        data_format: `"channels_first"` or `"channels_last"`. `None` means channels-last, as for
            all sequences, but the current image format with `expand_dims`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range.
        TypeError: If the input is not in floating point.

    Example:
        >>> STFTSpectrogram(frame_length=8)(torch.ones(1, 32, 1)).shape
        torch.Size([1, 7, 5])
    """

    real: nn.Parameter | None
    imag: nn.Parameter | None

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mode = one_of(self, "mode", mode, _MODES)
        self.frame_length = positive_int(self, "frame_length", frame_length)
        if self.frame_length < 2:
            raise ValueError("STFTSpectrogram: `frame_length` must be at least 2 samples.")
        self.frame_step = self._step(frame_step)
        self.fft_length = self._transform_size(fft_length)
        if isinstance(window, str):
            make_window(window, 1)  # an unknown name fails here
        self.window, self.periodic = window, periodic
        self.scaling = one_of(self, "scaling", scaling, ("density", "spectrum", None))
        self.padding = one_of(self, "padding", padding, ("valid", "same"))
        self.expand_dims = expand_dims
        if data_format is None and not expand_dims:
            data_format = "channels_last"
        self.data_format = as_image_format(data_format)
        self.input_spec = InputSpec(
            ndim=3,
            meaning="(batch, time, channels)"
            if self.data_format == "channels_last"
            else "(batch, channels, time)",
            hint="One channel of sound is an axis of size 1.",
        )

    def _step(self, value: Any) -> int:
        step = max(self.frame_length // 2, 1) if value is None else value
        if positive_int(self, "frame_step", step) > self.frame_length:
            raise ValueError(
                f"STFTSpectrogram: `frame_step` must not exceed frame_length={self.frame_length}, "
                f"got {describe(value)}."
            )
        return step

    def _transform_size(self, value: Any) -> int:
        if value is None:
            return 2 ** math.ceil(math.log2(self.frame_length))
        if positive_int(self, "fft_length", value) < self.frame_length:
            raise ValueError(
                f"STFTSpectrogram: `fft_length` must not be below "
                f"frame_length={self.frame_length}, got {describe(value)}."
            )
        if value & (value - 1):
            warnings.warn(
                f"STFTSpectrogram: fft_length={value} is better a power of two.", stacklevel=4
            )
        return value

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the kernels."""
        shape = (self.fft_length // 2 + 1, 1, self.frame_length)
        for name, unused in (("real", "imag"), ("imag", "real")):
            kernel = None if self.mode == unused else torch.empty(shape, dtype=self.variable_dtype)
            self.register_parameter(name, None if kernel is None else nn.Parameter(kernel))

    def own_weights(self) -> list[KerasWeight]:
        """Cosines and sines, as far as the mode uses them."""
        kernels = [(name, self._parameters.get(name)) for name in ("real", "imag")]
        return [
            KerasWeight(
                f"{name}_kernel",
                kernel,
                initializers.STFT(name, self.window, self.scaling, self.periodic),
                **convolution_kernel(1),
            )
            for name, kernel in kernels
            if kernel is not None
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Transform every channel; then what the mode asks for."""
        if not x.is_floating_point():
            raise TypeError(
                f'STFTSpectrogram "{self.name}" expects samples in floating point, got '
                f"{describe(x)}."
            )
        if self.data_format == "channels_last":
            x = x.movedim(-1, 1)  # (batch, channels, time)
        real = None if self.real is None else self._transform(x, self.real)
        imag = None if self.imag is None else self._transform(x, self.imag)
        return self._laid_out(self._values(real, imag))

    def _transform(self, x: Tensor, kernel: Tensor) -> Tensor:
        batch, channels, time = x.shape
        signal = x.reshape(batch * channels, 1, time)
        if self.padding == "same":
            signal = F.pad(signal, same_padding(time, self.frame_length, self.frame_step))
        frames = F.conv1d(signal, kernel.to(x.dtype), stride=self.frame_step)
        return frames.reshape(batch, channels, *frames.shape[1:])

    def _values(self, real: Any, imag: Any) -> Any:
        if real is None or imag is None:
            return imag if real is None else real
        if self.mode == "angle":
            return torch.atan2(imag, real)
        if self.mode == "stft":
            return torch.cat([real, imag], dim=2)
        power = real.square() + imag.square()
        if self.mode == "psd":
            return power + F.pad(power[:, :, 1:-1], (0, 0, 1, 1))
        magnitude = power.clamp(min=epsilon()).sqrt()
        return magnitude if self.mode == "magnitude" else magnitude.clamp(min=epsilon()).log()

    def _laid_out(self, y: Tensor) -> Tensor:
        """From `(batch, channels, frequencies, frames)` to what the user asked for."""
        last = self.data_format == "channels_last"
        if self.expand_dims:
            return y.permute(0, 3, 2, 1) if last else y.transpose(2, 3)
        y = y.flatten(1, 2)
        return y.transpose(1, 2) if last else y


class MelSpectrogram(Layer):
    """Sound as a picture: the power in bands that are as wide as the ear's are, over time.

    Shapes:
        input: `(batch, samples)` or `(samples,)`
        output: `(batch, num_mel_bins, frames)` or `(num_mel_bins, frames)`

    Args:
        fft_length: Size of the Fourier transform.
        sequence_stride: Samples from frame to frame.
        sequence_length: Samples in a frame, `fft_length` by default.
        window: The name of a window, its values, or `None`.
        sampling_rate: Samples in a second.
        num_mel_bins: How many bands.
        min_freq: Where the lowest band begins, in hertz.
        max_freq: Where the highest ends, half the sampling rate by default.
        power_to_db: Whether to give decibels.
        top_db: How many decibels below the largest of the whole call to cut off.
        mag_exp: The power of the magnitude: 2 for power, 1 for magnitude.
        min_power: The smallest power that decibels are taken of.
        ref_power: The power that counts as 0 decibels.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> MelSpectrogram(num_mel_bins=64)(torch.ones(2, 16000)).shape
        torch.Size([2, 64, 32])
    """

    _bands: Tensor

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: Any = "hann",
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fft_length = positive_int(self, "fft_length", fft_length)
        self.sequence_stride = positive_int(self, "sequence_stride", sequence_stride)
        self.sequence_length = positive_int(self, "sequence_length", sequence_length or fft_length)
        if self.sequence_length > self.fft_length:
            raise ValueError(
                f"MelSpectrogram: `sequence_length` must not exceed fft_length={fft_length}, got "
                f"{describe(sequence_length)}."
            )
        self.window = window
        self.sampling_rate = sampling_rate
        self.num_mel_bins = positive_int(self, "num_mel_bins", num_mel_bins)
        self.min_freq, self.max_freq = min_freq, max_freq or int(sampling_rate / 2)
        self.power_to_db, self.top_db, self.mag_exp = power_to_db, top_db, mag_exp
        self.min_power, self.ref_power = min_power, ref_power
        self.input_spec = InputSpec(
            min_ndim=1, max_ndim=2, meaning="(batch, samples)", hint="Drop the channel axis."
        )
        self.register_buffer("_bands", self._make_bands(), persistent=False)

    def own_weights(self) -> list:
        """None: the bands are fixed."""
        return []

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again, defaults worked out."""
        settled = {"sequence_length": self.sequence_length, "max_freq": self.max_freq}
        return {**super().get_config(), **settled}

    def _make_bands(self) -> Tensor:
        """How much each frequency adds to each band: triangles on the mel scale."""
        frequencies = torch.linspace(0, self.sampling_rate / 2, self.fft_length // 2 + 1)
        places = _mel(frequencies.double())[:, None]
        ends = _mel(torch.tensor([self.min_freq, self.max_freq], dtype=torch.float64))
        low_end, high_end = ends.tolist()
        edges = torch.linspace(low_end, high_end, self.num_mel_bins + 2, dtype=torch.float64)
        low, middle, high = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (places - low) / (middle - low), (high - places) / (high - middle)
        bands = torch.minimum(rising, falling).clamp(min=0)
        bands[0] = 0  # the mean of the signal is in no band
        return bands.to(torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        """Transform, take powers, add them up by bands."""
        dtype = self.compute_dtype
        x = x.to(dtype if dtype in (torch.float32, torch.float64) else torch.float32)
        real, imag = stft(
            self._with_ends(x),
            self.sequence_length,
            self.sequence_stride,
            self.fft_length,
            self.window,
            center=False,
        )
        power = torch.hypot(real, imag) ** self.mag_exp
        mel = power @ self._bands.to(power.dtype)
        if self.power_to_db:
            mel = self._decibels(mel)
        return mel.transpose(-1, -2).to(dtype)

    def _with_ends(self, x: Tensor) -> Tensor:
        """Reflect the signal at both ends, so that frames centre on all of it."""
        half = self.fft_length // 2
        if x.is_meta:
            return F.pad(x, (half, half))  # a length that is only assumed may be short
        if x.shape[-1] <= half:
            raise ValueError(
                f'MelSpectrogram "{self.name}" needs more than fft_length // 2 = {half} samples, '
                f"got shape {tuple(x.shape)}. Fill the signal up, or take a smaller fft_length."
            )
        ends = F.pad(x.reshape(1, -1, x.shape[-1]), (half, half), "reflect")
        return ends.reshape(*x.shape[:-1], -1)

    def _decibels(self, mel: Tensor) -> Tensor:
        reference = 10 * math.log10(max(abs(self.ref_power), self.min_power))
        levels = 10 * mel.clamp(min=self.min_power).log10() - reference
        return torch.maximum(levels, levels.max() - self.top_db)


def _mel(hertz: Tensor) -> Tensor:
    """The pitch of a frequency (O'Shaughnessy 1987, with the constants of HTK)."""
    return 1127 * torch.log1p(hertz / 700)
