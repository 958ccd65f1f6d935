"""What layer-by-layer sizes of gradients and activations mean, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

# Layer -> (gradient, activation), in forward order; None where there was none.
Sizes = Mapping[str, tuple[float | None, float | None]]

# A factor between layers beyond which one learning rate cannot suit them all.
FAR_APART = 1e3
# Weights are of the order of 0.01 to 1: a larger gradient moves them out of range in one step.
HUGE = 1e3
TINY = 1e-8


def verdict(sizes: Sizes) -> str:
    """One or more sentences on the health of a network in training.

    Args:
        sizes: Root mean squares, layer by layer in forward order.

    Example:
        >>> verdict({"first": (1e-9, 0.5), "middle": (1e-6, 0.5), "last": (1e-3, 0.5)})
        "gradients vanish towards the input: 1.0e-09 in 'first', 1.0e-03 in 'last'."
        >>> verdict({"first": (1e-3, 0.5), "last": (2e-3, 0.7)})
        'gradients and activations are of similar size in all layers.'
    """
    gradients = {name: size[0] for name, size in sizes.items() if size[0] is not None}
    activations = {name: size[1] for name, size in sizes.items() if size[1] is not None}
    said = [_of_gradients(gradients), _of_activations(activations)]
    return " ".join(text for text in said if text) or (
        "gradients and activations are of similar size in all layers."
    )


def _of_gradients(sizes: dict[str, float]) -> str:
    wild = [name for name, size in sizes.items() if not math.isfinite(size)]
    if wild:
        # Gradients flow from the output: the layer nearest to it met the trouble first.
        return f"gradients are not finite in {_names(wild)}; '{wild[-1]}' is nearest to the loss."
    dead = [name for name, size in sizes.items() if size == 0]
    text = f"no gradient reaches {_names(dead)}." if dead else ""
    sizes = {name: size for name, size in sizes.items() if size > 0}
    if len(sizes) < 2:
        return text
    return " ".join(part for part in (text, _spread(sizes)) if part)


def _spread(sizes: dict[str, float]) -> str:
    names, values = list(sizes), list(sizes.values())
    low, high = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    ends = f"{values[0]:.1e} in '{names[0]}', {values[-1]:.1e} in '{names[-1]}'."
    # How much the gradient grows from output to input, by the straight line through all layers.
    growth = -_slope([math.log10(value) for value in values]) * (len(values) - 1)
    if growth <= -math.log10(FAR_APART):
        return f"gradients vanish towards the input: {ends}"
    if growth >= math.log10(FAR_APART):
        return f"gradients explode towards the input: {ends}"
    if sizes[high] > HUGE:
        return f"gradients are very large: {sizes[high]:.1e} in '{high}'."
    if sizes[high] < TINY:
        return f"gradients are tiny everywhere: at most {sizes[high]:.1e}, in '{high}'."
    if sizes[high] / sizes[low] >= FAR_APART:
        return f"gradients are uneven: {sizes[low]:.1e} in '{low}', {sizes[high]:.1e} in '{high}'."
    return ""


def _of_activations(sizes: dict[str, float]) -> str:
    wild = [name for name, size in sizes.items() if not math.isfinite(size)]
    if wild:
        return f"activations are not finite from '{wild[0]}' on."
    silent = [name for name, size in sizes.items() if size == 0]
    if silent:
        return f"activations are all zero in {_names(silent)}."
    if len(sizes) < 2:
        return ""
    names, values = list(sizes), list(sizes.values())
    growth = _slope([math.log10(value) for value in values]) * (len(values) - 1)
    ends = f"{values[0]:.1e} in '{names[0]}', {values[-1]:.1e} in '{names[-1]}'."
    if growth <= -math.log10(FAR_APART):
        return f"activations fade towards the output: {ends}"
    if growth >= math.log10(FAR_APART):
        return f"activations blow up towards the output: {ends}"
    return ""


def _slope(values: list[float]) -> float:
    """Least-squares slope over equally spaced places."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    spread = sum((place - middle) ** 2 for place in range(len(values)))
    return sum((p - middle) * (value - mean) for p, value in enumerate(values)) / spread


def _names(names: list[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:3])
    return listed + (f" and {len(names) - 3} more layers" if len(names) > 3 else "")
