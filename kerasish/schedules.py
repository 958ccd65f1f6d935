"""Learning rates that change with the number of updates, under Keras's names.

Each schedule is a small rule from the update's number, counted from 0, to a plain float: it costs
about a microsecond and never touches a device.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerasish import registry
from kerasish.describe import describe


class LearningRateSchedule:
    """A rule that gives the learning rate of each update; write `__call__` and `get_config`.

    Example:
        >>> class Halving(LearningRateSchedule):
        ...     def __call__(self, step):
        ...         return 0.1 * 0.5 ** (step // 100)
        >>> Halving()(250)
        0.025
    """

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step).")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        if dataclasses.is_dataclass(self):
            return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        raise NotImplementedError(f"{type(self).__name__} must define get_config().")

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> LearningRateSchedule:
        """Make the schedule that `get_config` described."""
        return cls(**{key: registry.deserialize(v, custom_objects) for key, v in config.items()})


def _take_plain_numbers(schedule: LearningRateSchedule) -> None:
    """Make Python's numbers of NumPy's and of tensors, which no file could hold."""
    for name, value in vars(schedule).items():
        is_list = isinstance(value, (list, tuple))
        setattr(schedule, name, [_plain(item) for item in value] if is_list else _plain(value))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _check_positive(schedule: LearningRateSchedule, name: str) -> None:
    value = getattr(schedule, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(
            f"{type(schedule).__name__}: `{name}` must be a positive number, got {describe(value)}."
        )


@dataclass
class ExponentialDecay(LearningRateSchedule):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`.

    Args:
        initial_learning_rate: The rate of the first update.
        decay_steps: After so many updates the rate has been multiplied by `decay_rate` once.
        decay_rate: The factor.
        staircase: Whether the exponent is rounded down, so that the rate falls in steps.
        name: A label.

    Example:
        >>> ExponentialDecay(0.1, 100, 0.5)(200)
        0.025
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str = "ExponentialDecay"

    def __post_init__(self) -> None:
        _take_plain_numbers(self)
        _check_positive(self, "decay_steps")

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        turns = step / self.decay_steps
        turns = math.floor(turns) if self.staircase else turns
        return self.initial_learning_rate * self.decay_rate**turns


@dataclass
class PiecewiseConstantDecay(LearningRateSchedule):
    """A constant rate between boundaries: `values[i]` up to and including step `boundaries[i]`.

    Args:
        boundaries: Step numbers in rising order.
        values: The rates, one more than there are boundaries.
        name: A label.

    Raises:
        ValueError: If the numbers of values and boundaries do not fit, or boundaries fall.

    Example:
        >>> schedule = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
        >>> schedule(100), schedule(101), schedule(500)
        (0.1, 0.01, 0.001)
    """

    boundaries: list[float]
    values: list[float]
    name: str = "PiecewiseConstant"

    def __post_init__(self) -> None:
        _take_plain_numbers(self)
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                "PiecewiseConstantDecay: `values` must have one number more than `boundaries`, got "
                f"{len(self.values)} values and {len(self.boundaries)} boundaries."
            )
        if list(self.boundaries) != sorted(self.boundaries):
            raise ValueError(
                f"PiecewiseConstantDecay: `boundaries` must rise, got {describe(self.boundaries)}."
            )

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        return self.values[bisect.bisect_left(self.boundaries, step)]


@dataclass
class PolynomialDecay(LearningRateSchedule):
    """From the first rate to the last along `(1 - step / decay_steps) ** power`.

    Args:
        initial_learning_rate: The rate of the first update.
        decay_steps: The update at which the last rate is reached.
        end_learning_rate: The rate from then on.
        power: 1 falls in a straight line.
        cycle: Whether to begin again, over twice, three times ... the steps, instead of staying.
        name: A label.
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str = "PolynomialDecay"

    def __post_init__(self) -> None:
        _take_plain_numbers(self)
        _check_positive(self, "decay_steps")

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        if self.cycle:
            length = self.decay_steps * max(1, math.ceil(step / self.decay_steps))
        else:
            length = self.decay_steps
            step = min(step, length)
        height = self.initial_learning_rate - self.end_learning_rate
        return height * (1 - step / length) ** self.power + self.end_learning_rate


@dataclass
class InverseTimeDecay(LearningRateSchedule):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`.

    Args:
        initial_learning_rate: The rate of the first update.
        decay_steps: The unit in which updates are counted.
        decay_rate: How fast the rate falls.
        staircase: Whether `step / decay_steps` is rounded down.
        name: A label.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str = "InverseTimeDecay"

    def __post_init__(self) -> None:
        _take_plain_numbers(self)
        _check_positive(self, "decay_steps")

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        turns = step / self.decay_steps
        turns = math.floor(turns) if self.staircase else turns
        return self.initial_learning_rate / (1 + self.decay_rate * turns)


@dataclass
class CosineDecay(LearningRateSchedule):
    """Half a cosine from the first rate down to `alpha` of it, after an optional linear warm-up.

    Args:
        initial_learning_rate: The rate of the first update.
        decay_steps: Length of the decay, without the warm-up.
        alpha: The last rate as a fraction of the rate at which the decay begins.
        name: A label.
        warmup_target: The rate at the end of the warm-up. `None` means no warm-up.
        warmup_steps: Length of the warm-up.
    """

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    name: str = "CosineDecay"
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        _take_plain_numbers(self)
        _check_positive(self, "decay_steps")

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            step, top = step - self.warmup_steps, self.warmup_target
        cosine = _half_cosine(min(step / self.decay_steps, 1.0))
        return top * ((1 - self.alpha) * cosine + self.alpha)


def _half_cosine(fraction: float) -> float:
    """From 1 at fraction 0 to 0 at fraction 1."""
    return 0.5 * (1 + math.cos(math.pi * fraction))


@dataclass
class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after the other, each `t_mul` as long and `m_mul` as high as the one before.

    Args:
        initial_learning_rate: The rate of the first update.
        first_decay_steps: Length of the first period.
        t_mul: Factor on the length from period to period, at least 1.
        m_mul: Factor on the height from period to period.
        alpha: The lowest rate as a fraction of the first.
        name: A label.
    """

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    name: str = "SGDRDecay"

    def __post_init__(self) -> None:
        _take_plain_numbers(self)
        _check_positive(self, "first_decay_steps")
        _check_positive(self, "t_mul")
        if self.t_mul < 1:
            raise ValueError(
                "CosineDecayRestarts: `t_mul` must be at least 1, or the periods would shrink to "
                f"nothing, got {describe(self.t_mul)}."
            )

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        # Periods are walked, not solved for: a logarithm rounds wrongly just at a restart.
        length, period = self.first_decay_steps, 0
        if self.t_mul == 1:
            period, step = int(step // length), step % length
        while step >= length:
            step, length, period = step - length, length * self.t_mul, period + 1
        height = self.m_mul**period * _half_cosine(step / length)
        return self.initial_learning_rate * ((1 - self.alpha) * height + self.alpha)


@dataclass
class OneCycle(LearningRateSchedule):
    """Up to a high rate and down to nearly nothing along half cosines: Smith's 1cycle policy.

    Args:
        max_learning_rate: The highest rate.
        total_steps: Number of updates in all.
        warmup_fraction: Share of them in which the rate rises.
        initial_divisor: The first rate is `max_learning_rate / initial_divisor`.
        final_divisor: The last rate is the first divided by this.
        name: A label.
    """

    max_learning_rate: float
    total_steps: int
    warmup_fraction: float = 0.3
    initial_divisor: float = 25.0
    final_divisor: float = 1e4
    name: str = "OneCycle"

    def __post_init__(self) -> None:
        _take_plain_numbers(self)
        for name in ("total_steps", "initial_divisor", "final_divisor"):
            _check_positive(self, name)
        if not 0 <= self.warmup_fraction <= 1:
            raise ValueError(
                "OneCycle: `warmup_fraction` must be from 0 to 1, "
                f"got {describe(self.warmup_fraction)}."
            )

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        first = self.max_learning_rate / self.initial_divisor
        last = first / self.final_divisor
        peak = self.warmup_fraction * self.total_steps - 1
        if step <= peak:
            fraction = step / peak if peak > 0 else 1.0
            return first + (self.max_learning_rate - first) * (1 - _half_cosine(fraction))
        fraction = min((step - peak) / (self.total_steps - 1 - peak), 1.0)
        return last + (self.max_learning_rate - last) * _half_cosine(fraction)


@dataclass
class Warmup(LearningRateSchedule):
    """A straight line up to where another schedule, or a constant rate, begins.

    Args:
        schedule: What follows the warm-up, counted from its end: a schedule or a rate.
        warmup_steps: Length of the warm-up.
        initial_learning_rate: The rate of the first update.
        name: A label.

    Example:
        >>> [Warmup(0.1, 4)(step) for step in (0, 2, 4, 100)]
        [0.0, 0.05, 0.1, 0.1]
    """

    schedule: LearningRateSchedule | float
    warmup_steps: int
    initial_learning_rate: float = 0.0
    name: str = "Warmup"

    def __post_init__(self) -> None:
        _take_plain_numbers(self)
        _check_positive(self, "warmup_steps")
        if isinstance(self.schedule, bool) or not isinstance(
            self.schedule, (int, float, LearningRateSchedule)
        ):
            raise TypeError(
                "Warmup: `schedule` must be a LearningRateSchedule or a number, "
                f"got {describe(self.schedule)}."
            )

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        after = max(step - self.warmup_steps, 0)
        target = self.schedule if isinstance(self.schedule, (int, float)) else self.schedule(after)
        if step >= self.warmup_steps:
            return target
        start = self.initial_learning_rate
        return start + (target - start) * step / self.warmup_steps


def serialize(learning_rate_schedule: LearningRateSchedule) -> Any:
    """The config that `deserialize` makes the schedule from."""
    return registry.serialize(learning_rate_schedule)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the schedule that a config from `serialize` describes."""
    return registry.deserialize(config, custom_objects)
