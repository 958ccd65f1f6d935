"""The rules of a weight: what fills it, what penalises it, what is applied after each update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from kerasish import constraints, initializers, regularizers

# Names, functions or configs of an initialiser, a regulariser and a constraint, as a layer's
# constructor is given them.
Rules = tuple[Any, Any, Any]


def found_rules(
    rules: Rules,
) -> tuple[
    Callable[..., Tensor] | None,
    Callable[[Tensor], Tensor] | None,
    Callable[[Tensor], Tensor] | None,
]:
    """The functions that the three stand for."""
    initializer, regularizer, constraint = rules
    return initializers.get(initializer), regularizers.get(regularizer), constraints.get(constraint)
