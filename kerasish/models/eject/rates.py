"""Learning-rate schedules as a function `learning_rate(step)`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from kerasish import schedules
from kerasish.models.eject.expressions import plain_number
from kerasish.models.eject.refusal import refusal


def rate_function(schedule: Any) -> list[str]:
    """The lines of the function, `step` being the number of updates so far.

    Raises:
        ValueError: If the schedule is none of kerasish's.
    """
    return ["def learning_rate(step):", *(f"    {line}" for line in _body(schedule))]


def _body(schedule: Any) -> list[str]:
    write = _BODIES.get(type(schedule))
    if write is None:
        raise refusal(
            f"The learning rate {schedule!r}",
            "Compile with a number, or with one of kerasish.optimizers.schedules.",
        )
    for setting in dataclasses.fields(schedule):
        value = getattr(schedule, setting.name)
        for number in value if isinstance(value, list) else [value]:
            # They become source, and may come from a file.
            if setting.name != "name" and number is not None and number is not _inner(schedule):
                plain_number(number)
    return write(schedule)


def _inner(schedule: Any) -> Any:
    inner = getattr(schedule, "schedule", None)
    return inner if isinstance(inner, schedules.LearningRateSchedule) else schedule


def _exponential(s: Any) -> list[str]:
    turns = f"step // {s.decay_steps}" if s.staircase else f"step / {s.decay_steps}"
    return [f"return {s.initial_learning_rate} * {s.decay_rate} ** ({turns})"]


def _inverse_time(s: Any) -> list[str]:
    turns = f"step // {s.decay_steps}" if s.staircase else f"step / {s.decay_steps}"
    return [f"return {s.initial_learning_rate} / (1 + {s.decay_rate} * ({turns}))"]


def _piecewise(s: Any) -> list[str]:
    lines = [
        f"if step <= {boundary}:\n        return {value}"
        for boundary, value in zip(s.boundaries, s.values, strict=False)
    ]
    return [*"\n".join(lines).replace("\n    ", "\n").splitlines(), f"return {s.values[-1]}"]


def _polynomial(s: Any) -> list[str]:
    first, last, length = s.initial_learning_rate, s.end_learning_rate, str(s.decay_steps)
    if s.cycle:
        lines = [f"length = {length} * max(1, math.ceil(step / {length}))"]
        length = "length"
    else:
        lines = [f"step = min(step, {length})"]
    power = "" if s.power == 1 else f" ** {s.power}"
    return [*lines, f"return ({first} - {last}) * (1 - step / {length}){power} + {last}"]


def _cosine(s: Any) -> list[str]:
    lines, top = [], s.initial_learning_rate
    if s.warmup_target is not None:
        top, length = s.warmup_target, s.warmup_steps
        rise = f"({top} - {s.initial_learning_rate}) * step / {length}"
        lines = [
            f"if step < {length}:",
            f"    return {s.initial_learning_rate} + {rise}",
            f"step = step - {length}",
        ]
    lines += [
        f"fraction = min(step / {s.decay_steps}, 1.0)",
        "cosine = 0.5 * (1 + math.cos(math.pi * fraction))",
    ]
    height = f"((1 - {s.alpha}) * cosine + {s.alpha})" if s.alpha else "cosine"
    return [*lines, f"return {top} * {height}"]


def _restarts(s: Any) -> list[str]:
    height = f"((1 - {s.alpha}) * height * cosine + {s.alpha})" if s.alpha else "height * cosine"
    return [
        f"length, height = {s.first_decay_steps}, 1.0",
        "while step >= length:",
        f"    step, length, height = step - length, length * {s.t_mul}, height * {s.m_mul}",
        "cosine = 0.5 * (1 + math.cos(math.pi * step / length))",
        f"return {s.initial_learning_rate} * {height}",
    ]


def _one_cycle(s: Any) -> list[str]:
    first = s.max_learning_rate / s.initial_divisor
    last = first / s.final_divisor
    peak = s.warmup_fraction * s.total_steps - 1
    if peak <= 0:
        raise refusal("OneCycle without a rise", "Use CosineDecay.")
    top = s.max_learning_rate
    return [
        f"if step <= {peak}:  # up",
        f"    cosine = 0.5 * (1 + math.cos(math.pi * step / {peak}))",
        f"    return {first} + ({top} - {first}) * (1 - cosine)",
        f"fraction = min((step - {peak}) / {s.total_steps - 1 - peak}, 1.0)  # and down",
        "cosine = 0.5 * (1 + math.cos(math.pi * fraction))",
        f"return {last} + ({top} - {last}) * cosine",
    ]


def _warmup(s: Any) -> list[str]:
    length, start = s.warmup_steps, s.initial_learning_rate
    if isinstance(s.schedule, (int, float)):
        target, after = str(s.schedule), [f"return {s.schedule}"]
    else:
        target, after = str(s.schedule(0)), [f"step = step - {length}", *_body(s.schedule)]
    begin = f"{start} + " if start else ""
    rise = f"({target} - {start})" if start else target
    return [f"if step < {length}:", f"    return {begin}{rise} * step / {length}", *after]


_BODIES: dict[type, Callable[[Any], list[str]]] = {
    schedules.ExponentialDecay: _exponential,
    schedules.InverseTimeDecay: _inverse_time,
    schedules.PiecewiseConstantDecay: _piecewise,
    schedules.PolynomialDecay: _polynomial,
    schedules.CosineDecay: _cosine,
    schedules.CosineDecayRestarts: _restarts,
    schedules.OneCycle: _one_cycle,
    schedules.Warmup: _warmup,
}
