"""The learning rates of a model's optimizer, or of each of several, by their names in the logs."""

from __future__ import annotations

from typing import Any


def optimizers_of(model: Any) -> dict[str, Any]:
    """Name in the logs -> optimizer: `learning_rate`, or `learning_rate_<name>` with several.

    Raises:
        ValueError: If the model has no optimizer with a learning rate.
    """
    optimizer = getattr(model, "optimizer", None)
    several = getattr(optimizer, "optimizers", None)
    if several is not None:
        return {f"learning_rate_{inner.name}": inner for inner in several}
    if not hasattr(optimizer, "learning_rate"):
        raise ValueError("The model has no optimizer with a learning rate; compile it first.")
    return {"learning_rate": optimizer}


def rates_of(model: Any) -> dict[str, float]:
    """Name in the logs -> learning rate now."""
    return {name: float(inner.learning_rate) for name, inner in optimizers_of(model).items()}


def refuse_schedules(model: Any, who: str) -> None:
    """Raise if a schedule sets the rate already: two masters would undo each other's work.

    Raises:
        ValueError: If an optimizer has a schedule.
    """
    for inner in optimizers_of(model).values():
        schedule = getattr(inner, "_schedule", None)
        if schedule is not None:
            raise ValueError(
                f"{who}: the learning rate follows {type(schedule).__name__} already. "
                f"Give the optimizer a number, or leave {who} out."
            )
