"""Learning rates that change with the number of updates."""

from __future__ import annotations

from typing import Any


class LearningRateSchedule:
    """A rule that gives the learning rate of each update."""

    def __call__(self, step: float) -> float:
        """The learning rate of update number `step`, from 0."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        raise NotImplementedError
