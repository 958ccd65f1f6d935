"""GradientMonitor: gradient and activation norms of every layer while a network trains."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kerasish.callbacks.base import Callback
from kerasish.callbacks.console import say
from kerasish.callbacks.gradient_words import Sizes, verdict
from kerasish.callbacks.taps import GradientTap, OutputTap
from kerasish.describe import describe
from kerasish.devices import tensor_on


class GradientMonitor(Callback):
    """Measures every layer's gradients and activations now and then, and says what is wrong.

    The size of a gradient is its root mean square over the layer's weights, so that layers of all
    widths compare; the size of an activation is that of the layer's output. Measuring stays on the
    device; numbers are read once an epoch.

    Args:
        every: Steps between measurements, counted across epochs.
        verbose: 1 says after an epoch when gradients vanish, explode or are uneven, or activations
            fade or blow up, whenever that has changed.

    Attributes:
        steps: The steps measured, from 0.
        gradients: Layer name -> gradient sizes, one a measured step, `None` where there was none;
            layers in forward order.
        activations: Layer name -> activation sizes.

    Raises:
        ValueError: If `every` is not a positive integer.

    Example:
        >>> monitor = GradientMonitor(every=50)  # fit(..., callbacks=[monitor])
        >>> monitor.report()
        'GradientMonitor: nothing measured yet.'
    """

    def __init__(self, every: int = 10, *, verbose: int = 1) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(
                f"GradientMonitor: `every` must be a positive integer, got {describe(every)}."
            )
        self.every = every
        self.verbose = verbose
        self._outputs_tap = OutputTap(self._see_output)
        self._gradients_tap = GradientTap(self._see_gradient)
        self._clear()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._clear()
        self._outputs_tap.attach(self.model)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._step % self.every == 0 or self._postponed:
            self._outputs_tap.attach(self.model)
            self._outputs_tap.active = True
            self._gradients_tap.attach(self.model)
            # The weights of a lazy model exist after its first step only.
            self._postponed = not self._gradients_tap.attached
        self._step += 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._outputs_tap.active:
            self._outputs_tap.active = False
            self._gradients_tap.detach()
            self._keep()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._read()
        if not self.verbose or not self.steps:
            return
        words = self._verdict()
        if words != self._said:
            say(f"GradientMonitor, epoch {epoch + 1}: {words}")
            self._said = words

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._outputs_tap.detach()
        self._gradients_tap.detach()
        self._read()

    def report(self) -> str:
        """What the last epoch's measurements mean, in words, and the numbers layer by layer."""
        self._read()
        if not self.steps:
            return "GradientMonitor: nothing measured yet."
        lines = [self._verdict(), f"{'layer':<30}{'gradient':>12}{'activation':>12}"]
        sizes = self._recent()
        for name, (gradient, activation) in sizes.items():
            lines.append(f"{name:<30}{_text(gradient):>12}{_text(activation):>12}")
        return "\n".join(lines)

    def plot(self) -> Any:
        """Draw gradients (above) and activations (below): by layer, early to late, and over steps.

        Returns:
            The matplotlib figure.

        Raises:
            ValueError: If nothing was measured.
        """
        from kerasish.callbacks.gradient_plot import plot_sizes

        self._read()
        if not self.steps:
            raise ValueError("GradientMonitor.plot: nothing measured yet; train with it first.")
        return plot_sizes(self.steps, {"gradient": self.gradients, "activation": self.activations})

    # Measuring

    def _clear(self) -> None:
        self.steps: list[int] = []
        self.gradients: dict[str, list[float | None]] = {}
        self.activations: dict[str, list[float | None]] = {}
        self._step = 0
        self._postponed = False
        self._said = ""
        self._epoch_start = 0
        self._unread: list[tuple[int, list[str], Tensor]] = []
        self._outputs: dict[str, Tensor] = {}
        self._squares: dict[str, dict[str, tuple[Tensor, int]]] = {}

    def _see_output(self, layer: str, output: Tensor) -> None:
        # A layer called several times (shared, or in an accumulated step) shows its last call.
        self._outputs[layer] = output.float().square().mean().sqrt()

    def _see_gradient(self, layer: str, parameter: str, gradient: Tensor) -> None:
        square = gradient.float().square().sum()
        self._squares.setdefault(layer, {})[parameter] = (square, gradient.numel())

    def _keep(self) -> None:
        """Put this step's sizes into one small tensor on the device."""
        names = [*self._outputs, *(name for name in self._squares if name not in self._outputs)]
        values: list[Tensor | None] = []
        for name in names:
            parts = self._squares.get(name, {}).values()
            squares = [square for square, _ in parts]
            count = sum(number for _, number in parts)
            size = (torch.stack(squares).sum() / count).sqrt() if squares else None
            values += [size, self._outputs.get(name)]
        device = next((value.device for value in values if value is not None), None)
        if device is not None:
            missing = tensor_on(device, -1.0)  # sizes are never negative
            together = torch.stack([missing if v is None else v.to(device) for v in values])
            self._unread.append((self._step - 1, names, together))
        self._outputs, self._squares = {}, {}

    def _read(self) -> None:
        """Read what was measured since the last reading."""
        if not self._unread:
            return
        self._epoch_start = len(self.steps)
        for step, names, values in self._unread:
            numbers = values.tolist()
            for kept, offset in ((self.gradients, 0), (self.activations, 1)):
                for place, name in enumerate(names):
                    series = kept.setdefault(name, [])
                    series += [None] * (len(self.steps) - len(series))
                    number = numbers[2 * place + offset]
                    series.append(None if number < 0 else number)
            self.steps.append(step)
        self._unread.clear()

    def _recent(self) -> Sizes:
        """Layer -> median gradient and activation of the last epoch measured."""
        return {
            name: (
                _median(self.gradients[name][self._epoch_start :]),
                _median(self.activations[name][self._epoch_start :]),
            )
            for name in self.gradients
        }

    def _verdict(self) -> str:
        return verdict(self._recent())


def _median(values: list[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None and math.isfinite(value))
    # A size that is not finite is the news, and must not vanish behind a median.
    wild = [value for value in values if value is not None and not math.isfinite(value)]
    return wild[0] if wild else known[len(known) // 2] if known else None


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}"
