"""The initializer of convolutions that compute a short-time Fourier transform, and its windows."""

from __future__ import annotations

import math
from typing import Any

import torch

from kerasish.describe import describe, suggest
from kerasish.initializers.base import Initializer, Shape, as_float_type, one_of


class STFT(Initializer):
    """Kernel of a 1-D convolution that computes a short-time Fourier transform.

    Shapes:
        output: `(frame_length, 1, fft_length // 2 + 1)`

    Args:
        side: `"real"` or `"imag"`: which part of the spectrum the kernel computes.
        window: The name of a window in `scipy.signal.windows` (the common ones need no SciPy), its
            values, or `None` for no window.
        scaling: `"density"` divides by the window's L2 norm, `"spectrum"` by its sum, `None` by
            nothing.
        periodic: Whether the window is periodic instead of symmetric.
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        self.side = one_of("STFT", "side", side, ("real", "imag"))
        if scaling is not None:
            one_of("STFT", "scaling", scaling, ("density", "spectrum"))
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape: Shape, dtype: Any = None) -> torch.Tensor:
        """Make the values, in Keras's layout."""
        frame_length, _, num_frequencies = shape
        time = torch.arange(frame_length, dtype=torch.float64)[:, None, None]
        frequency = torch.arange(num_frequencies, dtype=torch.float64)
        angle = -math.pi / (num_frequencies - 1) * time * frequency
        kernel = torch.cos(angle) if self.side == "real" else torch.sin(angle)
        if self.window is not None:
            window = self._window_values(frame_length)
            kernel = kernel * window[:, None, None] / self._norm(window)
        return kernel.expand(tuple(shape)).to(as_float_type(dtype))

    def _window_values(self, frame_length: int) -> torch.Tensor:
        if isinstance(self.window, str):
            return make_window(self.window, frame_length, periodic=self.periodic)
        window = torch.as_tensor(self.window, dtype=torch.float64)
        if window.shape != (frame_length,):
            raise ValueError(
                f"STFT: `window` must have shape ({frame_length},), got {describe(window)}."
            )
        return window.to(torch.get_default_device())

    def _norm(self, window: torch.Tensor) -> torch.Tensor | float:
        if self.scaling == "density":
            return window.square().sum().sqrt()
        return window.abs().sum() if self.scaling == "spectrum" else 1.0


def make_window(name: str, size: int, *, periodic: bool = False) -> torch.Tensor:
    """The values of a window function, float64; names beyond torch's own are SciPy's.

    Raises:
        ValueError: If there is no such window.
    """
    common = {
        "hann": torch.hann_window,
        "hamming": torch.hamming_window,
        "blackman": torch.blackman_window,
        "bartlett": torch.bartlett_window,
    }
    if name in common:
        return common[name](size, periodic=periodic, dtype=torch.float64)
    try:
        from scipy.signal import get_window
    except ImportError as error:
        raise ValueError(
            f"The window {describe(name)} needs SciPy{suggest(name, common)}."
        ) from error
    values = get_window(name, size, fftbins=periodic)
    return torch.as_tensor(values, dtype=torch.float64, device=torch.get_default_device())
