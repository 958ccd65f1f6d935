"""Which input positions a value depends on, as intervals that move with the index.

A value at index i of an axis sees the input positions from `low + i * step` to `high + i * step`.
Windows widen the interval, strides multiply the step, slices and padding shift it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Source = tuple[int, int]  # number of the input, axis of it


class Span(NamedTuple):
    """The positions of one input axis that a value depends on.

    Attributes:
        low: The first, for the value at index 0.
        high: The last, for the value at index 0.
        steps: For each axis of the tensor, how far the interval moves per index; infinite where
            indices are jumbled, as after flattening.
        length: The size of the input axis.
    """

    low: float
    high: float
    steps: dict[int, float]
    length: int

    @property
    def size(self) -> float:
        """How many positions; infinite for all of them."""
        covers = not self.steps and self.low <= 0 and self.high >= self.length - 1
        width = self.high - self.low
        return math.inf if covers or not math.isfinite(width) else math.floor(width) + 1


Field = dict[Source, Span]


def joined(fields: Iterable[Field]) -> Field:
    """What depends on all of them: the hull of the intervals."""
    result: Field = {}
    for field in fields:
        for source, span in field.items():
            known = result.get(source, span)
            steps = dict(known.steps)
            for axis, step in span.steps.items():
                steps[axis] = max(steps.get(axis, step), step, key=abs)
            result[source] = Span(
                min(known.low, span.low), max(known.high, span.high), steps, span.length
            )
    return result


def slid(field: Field, axis: int, first: float, last: float, stride: float) -> Field:
    """A window from `first` to `last` around an index, moving by `stride`."""
    result = dict(field)
    for source, span in field.items():
        if axis in span.steps:
            ends = [_times(first, span.steps[axis]), _times(last, span.steps[axis])]
            steps = {**span.steps, axis: span.steps[axis] * stride}
            result[source] = Span(span.low + min(ends), span.high + max(ends), steps, span.length)
    return result


def mixed(field: Field, axis: int, size: int, *, covers: bool = True) -> Field:
    """All indices of an axis combined into one value."""
    result = {}
    for source, span in slid(field, axis, 0, size - 1, 1).items():
        if axis in span.steps:
            steps = {other: step for other, step in span.steps.items() if other != axis}
            span = span._replace(steps=steps)
            if covers and span.size >= span.length:
                span = span._replace(low=-math.inf, high=math.inf)
        result[source] = span
    return result


def moved(field: Field, places: dict[int, int]) -> Field:
    """Axes at new places; those without one are gone."""
    return {
        source: span._replace(
            steps={places[axis]: step for axis, step in span.steps.items() if axis in places}
        )
        for source, span in field.items()
    }


def reshaped(field: Field, old: Sequence[int], new: Sequence[int]) -> Field:
    """The same values in the same order, under new axes."""
    places: dict[int, list[tuple[int, float]]] = {}
    for befores, afters in _groups(old, new):
        sizes = [new[axis] for axis in afters]
        for axis in befores:
            if len(befores) == 1:
                # One axis split into several: the index is a weighted sum of the new ones.
                factors = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
                places[axis] = list(zip(afters, map(float, factors), strict=True))
            else:
                places[axis] = [(after, math.inf) for after in afters]
    result = {}
    for source, span in field.items():
        pairs = [
            (after, step * factor)
            for axis, step in span.steps.items()
            for after, factor in places.get(axis, ())
        ]
        result[source] = span._replace(steps=dict(pairs))
    return result


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


def _times(position: float, step: float) -> float:
    return position * step if position else 0.0
