"""einops patterns, as Keras has them: `rearrange(x, "b (h w) c -> b c h w", h=4)`."""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from kerasish.describe import describe
from kerasish.ops.tensors import TensorLike, convert_to_tensor, recorded

# What "..." becomes outside brackets: as many axes as it stands for, not one axis made of them.
_SPREAD = "*"


@recorded
def rearrange(tensor: TensorLike, pattern: str, **axes_lengths: int) -> torch.Tensor:
    """Split, reorder and join axes as the pattern says.

    Args:
        tensor: Any tensor.
        pattern: Names of the axes before and after an arrow. Names in brackets are parts of one
            axis; `1` is an axis of size 1; `...` stands for any further axes.
        **axes_lengths: Sizes of parts that cannot be told from the shape.

    Raises:
        ValueError: If the pattern is malformed or does not fit the shape.

    Example:
        >>> rearrange(torch.zeros(2, 12, 3), "b (h w) c -> b c h w", h=4).shape
        torch.Size([2, 3, 4, 3])
    """
    x = convert_to_tensor(tensor)
    before, after = _sides(pattern)
    before, after = _fill_ellipsis(before, after, x, pattern)
    sizes = _sizes(before, x, axes_lengths, pattern)
    names = [name for group in before for name in group]
    wanted = [name for group in after for name in group]
    if sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        raise ValueError(
            f"rearrange: both sides of '{pattern}' must name the same axes, each once."
        )
    parts = x.reshape([sizes[name] for name in names])
    parts = parts.permute([names.index(name) for name in wanted])
    return parts.reshape([math.prod(sizes[name] for name in group) for group in after])


def _sides(pattern: str) -> tuple[list, list]:
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError(f"rearrange: a pattern has one arrow '->', got {describe(pattern)}.")
    return _groups(sides[0], pattern), _groups(sides[1], pattern)


def _groups(side: str, pattern: str) -> list[list[str]]:
    tokens = re.findall(r"\([^()]*\)|\.\.\.|\w+|\S", side)
    groups = []
    for token in tokens:
        is_group = token.startswith("(") and token.endswith(")")
        inner = token[1:-1].split() if is_group else [_SPREAD if token == "..." else token]
        if not all(name in ("...", _SPREAD) or re.fullmatch(r"\w+", name) for name in inner):
            raise ValueError(f"rearrange: '{token}' in '{pattern}' is not an axis.")
        groups.append([name for name in inner if name != "1"])
    return groups


def _fill_ellipsis(before: list, after: list, x: torch.Tensor, pattern: str) -> tuple[list, list]:
    extra: list[str] = []
    if [_SPREAD] in before:
        extra = [f"...{i}" for i in range(x.ndim - len(before) + 1)]
        place = before.index([_SPREAD])
        before = [*before[:place], *([name] for name in extra), *before[place + 1 :]]
    if len(before) != x.ndim:
        raise ValueError(f"rearrange: '{pattern}' does not fit {describe(x)}.")
    filled: list[list[str]] = []
    for group in after:
        if group == [_SPREAD]:
            filled.extend([name] for name in extra)
        else:
            filled.append([n for name in group for n in (extra if name == "..." else [name])])
    return before, filled


def _sizes(groups: list, x: torch.Tensor, given: dict[str, Any], pattern: str) -> dict[str, int]:
    sizes = dict(given)
    for axis, (group, size) in enumerate(zip(groups, x.shape, strict=True)):
        unknown = [name for name in group if name not in sizes]
        known = math.prod(sizes[name] for name in group if name in sizes)
        if len(unknown) > 1:
            raise ValueError(
                f"rearrange: give the size of {' or '.join(unknown)}, parts of axis {axis} of "
                f"'{pattern}'."
            )
        if (size % known if unknown else size != known) or known == 0:
            raise ValueError(
                f"rearrange: axis {axis} of '{pattern}' has size {size}, which does not divide "
                f"into parts of {known}."
            )
        if unknown:
            sizes[unknown[0]] = size // known
    return sizes
