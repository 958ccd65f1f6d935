"""The plot of GradientMonitor: sizes by layer and over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Series = Mapping[str, Sequence[float | None]]


def plot_sizes(steps: Sequence[int], quantities: Mapping[str, Series], profiles: int = 6) -> Any:
    """Draw a row per quantity: profiles over the layers, early to late, and layers over steps.

    Args:
        steps: The steps measured.
        quantities: Quantity -> layer -> sizes, one a step.
        profiles: How many moments to draw profiles of.

    Returns:
        The matplotlib figure.
    """
    from kerasish.figures import Picture, colormaps

    figure = Picture(11, 3.6 * len(quantities))
    axes = figure.subplots(len(quantities), 2, squeeze=False)
    count = min(profiles, len(steps))
    moments = [round(i * (len(steps) - 1) / max(1, count - 1)) for i in range(count)]
    for (by_layer, over_steps), (quantity, series) in zip(axes, quantities.items(), strict=True):
        layers = list(series)
        for place, moment in enumerate(moments):
            color = colormaps["viridis"](place / max(1, count - 1) * 0.9)
            sizes = [_gap(series[layer], moment) for layer in layers]
            by_layer.plot(
                sizes, marker="o", markersize=3, color=color, label=f"step {steps[moment]}"
            )
        for place, layer in enumerate(layers):
            color = colormaps["plasma"](place / max(1, len(layers) - 1) * 0.9)
            sizes = [_gap(series[layer], moment) for moment in range(len(steps))]
            over_steps.plot(steps, sizes, color=color, label=layer)
        _dress(by_layer, f"{quantity} by layer, input to output", quantity)
        by_layer.set_xticks(range(len(layers)), layers, rotation=60, ha="right", fontsize=7)
        _dress(over_steps, f"{quantity} of each layer over steps", quantity)
    return figure


def _gap(sizes: Sequence[float | None], moment: int) -> float:
    """The size there, NaN (a gap in the line) where there is none or where a logarithm has none."""
    size = sizes[moment] if moment < len(sizes) else None
    return size if size else float("nan")


def _dress(axis: Any, title: str, quantity: str) -> None:
    axis.set(title=title, ylabel=f"{quantity} (root mean square)", yscale="log")
    axis.grid(alpha=0.3)
    if len(axis.get_lines()) <= 12:
        axis.legend(fontsize=7)
