"""How named parameters are sorted into torch groups: by learning-rate factor and weight decay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor

from kerasish.describe import describe


def multiplier_for(name: str, lr_multipliers: Mapping[str, float]) -> float:
    """The factor on one parameter's learning rate: that of the first pattern that fits its name.

    Args:
        name: The parameter's dotted name.
        lr_multipliers: Factor by glob pattern. A pattern also covers what lies below it:
            `"backbone"` fits `"backbone.0.weight"`.

    Example:
        >>> multiplier_for("backbone.0.weight", {"backbone": 0.01})
        0.01
        >>> multiplier_for("head.bias", {"*.weight": 0.5})
        1.0
    """
    for pattern, factor in lr_multipliers.items():
        if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*"):
            return factor
    return 1.0


def check_multipliers(lr_multipliers: Mapping[str, float] | None) -> dict[str, float]:
    """The multipliers as plain floats.

    Raises:
        ValueError: If one is negative, infinite or not a number.
    """
    checked = {}
    for pattern, factor in (lr_multipliers or {}).items():
        if isinstance(factor, bool) or not isinstance(factor, (int, float)):
            raise ValueError(
                f"lr_multipliers: the factor of '{pattern}' must be a number, "
                f"got {describe(factor)}."
            )
        if not 0 <= factor < float("inf"):
            raise ValueError(
                f"lr_multipliers: the factor of '{pattern}' must be finite and at least 0, "
                f"got {describe(factor)}."
            )
        checked[pattern] = float(factor)
    return checked


class DecayExclusion:
    """Which parameters no weight decay touches: listed ones, and names that hold one of some words.

    Args:
        parameters: Parameters to leave out, compared by identity.
        words: Regular expressions searched for in the parameter's dotted name.
    """

    def __init__(self, parameters: Iterable[Tensor] = (), words: Iterable[str] = ()) -> None:
        self.parameters = list(parameters)
        self.words = list(words)

    def covers(self, name: str, parameter: Tensor) -> bool:
        """Whether this parameter is left out."""
        if any(parameter is excluded for excluded in self.parameters):
            return True
        return any(re.search(word, name) for word in self.words)


def group_parameters(
    named_parameters: Mapping[str, Tensor],
    lr_multipliers: Mapping[str, float],
    weight_decay: float,
    exclusion: DecayExclusion,
) -> list[dict[str, Any]]:
    """Sort parameters by learning-rate factor and weight decay, in order of first appearance.

    Parameters on different devices or of different types get groups of their own, so that one
    kernel call can update a whole group.

    Returns:
        Groups with the keys `params` (name and parameter), `lr_scale` and `decay`.
    """
    groups: dict[tuple, dict[str, Any]] = {}
    for name, parameter in named_parameters.items():
        scale = multiplier_for(name, lr_multipliers)
        decay = 0.0 if exclusion.covers(name, parameter) else weight_decay
        key = (scale, decay, parameter.device, parameter.dtype)
        group = groups.setdefault(key, {"params": [], "lr_scale": scale, "decay": decay})
        group["params"].append((name, parameter))
    return list(groups.values())
