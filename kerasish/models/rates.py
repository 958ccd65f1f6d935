"""Smaller learning rates for the more generic stages of a network."""

from __future__ import annotations

from typing import Any

from kerasish.describe import describe, suggest
from kerasish.models.freezing import stages


def discriminative(
    model: Any, *, top: float = 0.1, intermediate: float = 0.01, decay: float | None = None
) -> dict[str, float]:
    """Factors on the learning rate by stage, for `compile(lr_multipliers=...)`.

    `compile(lr_multipliers="discriminative")` calls it with its defaults.

    By the usual rule, the head learns at a tenth of the rate that the network was trained with, all
    before it at a hundredth. With `decay`, each stage has its share of the rate of the stage after
    it instead, and the head the full rate. The head is what comes after the model's `freeze_point`,
    or where it has none the last stage.

    Args:
        model: A built model.
        top: The factor of the head.
        intermediate: The factor of all others.
        decay: The ratio of neighbouring stages, such as 0.5.

    Returns:
        Factors by parameter-name pattern, the head's first.

    Raises:
        ValueError: If a factor is negative, or `decay` is not in (0, 1].

    Example:
        >>> from kerasish import Input, Sequential, layers
        >>> model = Sequential([Input((4,)), layers.Dense(3, name="body"),
        ...                     layers.Dense(2, name="head")])
        >>> discriminative(model)
        {'head': 0.1, 'body': 0.01}
        >>> discriminative(model, decay=0.5)
        {'head': 1.0, 'body': 0.5}
    """
    for label, value in (("top", top), ("intermediate", intermediate)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise ValueError(f"discriminative: `{label}` must not be negative: {describe(value)}.")
    if decay is not None and not 0 < decay <= 1:
        raise ValueError(f"discriminative: `decay` lies in (0, 1], got {describe(decay)}.")
    factors: dict[str, float] = {}
    parts = stages(model)
    names = [stage.name for stage in parts]
    point = getattr(model, "freeze_point", None)
    heads = len(parts) - 1 - names.index(point) if point in names[:-1] else 1
    for number, stage in enumerate(reversed(parts), 1):
        place = max(0, number - heads)
        factor = (top if place == 0 else intermediate) if decay is None else decay**place
        inside = set(stage.parameters)
        outside = {name for name, _ in model.named_parameters()} - inside
        for name in stage.parameters:
            factors.setdefault(_shortest_prefix(name, outside), float(factor))
    return factors


def named_rates(model: Any, name: str) -> dict[str, float]:
    """The factors that `compile(lr_multipliers="discriminative")` means.

    Raises:
        ValueError: If the name is another.
    """
    if name != "discriminative":
        raise ValueError(
            f"compile: unknown lr_multipliers '{name}'{suggest(name, ['discriminative'])}."
        )
    return discriminative(model)


def _shortest_prefix(name: str, outside: set[str]) -> str:
    """The shortest path that covers a parameter and none of those outside."""
    parts = name.split(".")
    for length in range(1, len(parts)):
        prefix = ".".join(parts[:length])
        if not any(other.startswith(f"{prefix}.") for other in outside):
            return prefix
    return name
