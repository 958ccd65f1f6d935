"""Which input positions a value depends on, as intervals that move with the index.

A value at index i of an axis sees the input positions from `low + i * step` to `high + i * step`.
Windows widen the interval, strides multiply the step, slices and padding shift it. An axis made of
several merged ones has a step for each of the digits that its index consists of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Source = tuple[int, int]  # number of the input, axis of it
Digits = tuple[tuple[int, float], ...]  # sizes and steps, the slowest first


class Span(NamedTuple):
    """The positions of one input axis that a value depends on.

    Attributes:
        low: The first, for the value at index 0.
        high: The last, for the value at index 0.
        steps: For each axis of the tensor, how far the interval moves per index, by its digits. The
            size of an only digit is that of the axis.
        length: The size of the input axis.
    """

    low: float
    high: float
    steps: dict[int, Digits]
    length: int

    @property
    def size(self) -> float:
        """How many positions; infinite for all of them."""
        covers = not self.steps and self.low <= 0 and self.high >= self.length - 1
        width = self.high - self.low
        return math.inf if covers or not math.isfinite(width) else math.floor(width) + 1


Field = dict[Source, Span]


def started(number: int, shape: Sequence[int]) -> Field:
    """The field of an input: each value sees its own position on every axis but the batch's."""
    return {
        (number, axis): Span(0, 0, {axis: ((size, 1.0),)}, size)
        for axis, size in enumerate(shape)
        if axis > 0
    }


def joined(fields: Iterable[Field]) -> Field:
    """What depends on all of them: the hull of the intervals."""
    result: Field = {}
    for field in fields:
        for source, span in field.items():
            known = result.get(source, span)
            low, high = min(known.low, span.low), max(known.high, span.high)
            result[source] = Span(low, high, {**span.steps, **known.steps}, span.length)
    return result


def slid(field: Field, axis: int, first: float, last: float, stride: float) -> Field:
    """A window from `first` to `last` around an index, moving by `stride`."""
    result = dict(field)
    for source, span in field.items():
        digits = span.steps.get(axis)
        if digits is None or (first == last == 0 and stride == 1):
            continue
        step = _single_step(digits)
        if step is None:
            # The window runs over the ends of the merged axes.
            result[source] = _swept(span, axis, digits)
            continue
        ends = first * step, last * step
        result[source] = span._replace(
            low=span.low + min(ends),
            high=span.high + max(ends),
            steps={**span.steps, axis: ((0, step * stride),)},
        )
    return result


def mixed(field: Field, axis: int, size: int) -> Field:
    """All indices of an axis combined into one value."""
    result = dict(field)
    for source, span in field.items():
        if axis in span.steps:
            span = _swept(span, axis, _sized(span.steps[axis], size))
            if span.size >= span.length:
                span = span._replace(low=-math.inf, high=math.inf)
            result[source] = span
    return result


def moved(field: Field, places: dict[int, int]) -> Field:
    """Axes at new places; those without one are gone."""
    return {
        source: span._replace(
            steps={places[axis]: digits for axis, digits in span.steps.items() if axis in places}
        )
        for source, span in field.items()
    }


def reshaped(field: Field, old: Sequence[int], new: Sequence[int]) -> Field:
    """The same values in the same order, under new axes."""
    groups = list(_groups(old, new))
    result = {}
    for source, span in field.items():
        made = span._replace(steps={})
        for befores, afters in groups:
            if span.steps.keys().isdisjoint(befores):
                continue
            digits = tuple(
                digit
                for axis in befores
                for digit in _sized(span.steps.get(axis, ((0, 0.0),)), old[axis])
            )
            made = _dealt(made, digits, {axis: new[axis] for axis in afters})
        result[source] = made
    return result


def _dealt(span: Span, digits: Digits, sizes: dict[int, int]) -> Span:
    """Give each axis, the fastest first, as many of the last digits as its size holds."""
    rest = list(digits)
    steps: dict[int, Digits] = {}
    for axis, size in reversed(sizes.items()):
        taken: list[tuple[int, float]] = []
        while size > 1:
            count, step = rest.pop()
            if size % count == 0:
                taken.append((count, step))
                size //= count
            elif count % size == 0:
                rest.append((count // size, step * size))
                taken.append((size, step))
                size = 1
            else:
                # The digits do not come apart at the axis's ends.
                return _swept(span, -1, digits)
        steps[axis] = _simplified(taken[::-1])
    return span._replace(steps={**span.steps, **{a: d for a, d in steps.items() if _moves(d)}})


def _simplified(digits: list[tuple[int, float]]) -> Digits:
    """Join digits that count on evenly."""
    result: list[tuple[int, float]] = []
    for count, step in digits:
        if result and result[-1][1] == step * count:
            result[-1] = (result[-1][0] * count, step)
        else:
            result.append((count, step))
    return tuple(result)


def _moves(digits: Digits) -> bool:
    return any(step for _, step in digits)


def _sized(digits: Digits, size: int) -> Digits:
    return ((size, digits[0][1]),) if len(digits) == 1 else digits


def _single_step(digits: Digits) -> float | None:
    """One step for an axis whose faster digits do not move: then it goes on slowly."""
    if _moves(digits[1:]):
        return None
    return digits[0][1] / math.prod(count for count, _ in digits[1:])


def _swept(span: Span, axis: int, digits: Digits) -> Span:
    """The whole way that the digits go, and no more movement along the axis."""
    ways = [(count - 1) * step for count, step in digits]
    return span._replace(
        low=span.low + sum(way for way in ways if way < 0),
        high=span.high + sum(way for way in ways if way > 0),
        steps={other: value for other, value in span.steps.items() if other != axis},
    )


def _groups(old: Sequence[int], new: Sequence[int]) -> Iterable[tuple[list[int], list[int]]]:
    """Split two shapes into the smallest groups of axes that hold the same number of values."""
    befores = [axis for axis, size in enumerate(old) if size != 1]
    afters = [axis for axis, size in enumerate(new) if size != 1]
    i = j = 0
    while i < len(befores) and j < len(afters):
        start_i, start_j = i, j
        left, right = old[befores[i]], new[afters[j]]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left, i = left * old[befores[i]], i + 1
            else:
                right, j = right * new[afters[j]], j + 1
        yield befores[start_i:i], afters[start_j:j]
