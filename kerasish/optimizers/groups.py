"""How named parameters are sorted into torch groups: learning-rate factors, weight decay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor

from kerasish.describe import describe


def multiplier_for(name: str, lr_multipliers: Mapping[str, float]) -> float:
    """The factor on one parameter's learning rate: that of the first pattern that fits its name.

    Args:
        name: The parameter's dotted name.
        lr_multipliers: Factor by glob pattern. A pattern also covers what lies below it:
            `"backbone"` fits `"backbone.0.weight"`. Inside a wrapped torch module its own names
            count as well: `"layer4"` fits `"resnet50.module.layer4.0.weight"`.

    Example:
        >>> multiplier_for("backbone.0.weight", {"backbone": 0.01})
        0.01
        >>> multiplier_for("head.bias", {"*.weight": 0.5})
        1.0
    """
    inside = f".{name}".partition(".module.")[2]
    names = [name, inside] if inside else [name]
    for pattern, factor in lr_multipliers.items():
        if any(fnmatchcase(n, pattern) or fnmatchcase(n, f"{pattern}.*") for n in names):
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
        parameters: Parameters to leave out, or a layer's views of them, such as `layer.kernel`.
        words: Regular expressions searched for in the parameter's dotted name.
    """

    def __init__(self, parameters: Iterable[Tensor] = (), words: Iterable[str] = ()) -> None:
        self.parameters = [behind for given in parameters for behind in _behind(given)]
        self.words = list(words)

    def covers(self, name: str, parameter: Tensor) -> bool:
        """Whether this parameter is left out."""
        if any(parameter is excluded for excluded in self.parameters):
            return True
        return any(re.search(word, name) for word in self.words)


def _behind(parameter: Tensor) -> list[Tensor]:
    """The parameters that a layer's view of its weight shows; a parameter itself as it is."""
    weight = getattr(parameter, "_weight", None)
    return [parameter] if weight is None else list(weight.tensors)


def group_parameters(
    named_parameters: Mapping[str, Tensor],
    options_for: Callable[[str, Tensor], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Sort parameters into groups of equal options, in the order in which they first appear.

    Parameters on different devices or of different types get groups of their own, so that one
    kernel call can update a whole group.

    Args:
        named_parameters: Parameters by name.
        options_for: The group options of one parameter.

    Returns:
        Groups as `torch.optim` takes them: the options, and `params` with names and parameters.
    """
    groups: dict[tuple, dict[str, Any]] = {}
    for name, parameter in named_parameters.items():
        options = options_for(name, parameter)
        key = (*options.items(), parameter.device, parameter.dtype)
        groups.setdefault(key, {"params": [], **options})["params"].append((name, parameter))
    return list(groups.values())
