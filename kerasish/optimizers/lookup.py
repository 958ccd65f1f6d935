"""From what a user writes to an optimizer: names, configs, and what torch has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from kerasish import registry
from kerasish.describe import describe
from kerasish.optimizers.adafactor import Adafactor
from kerasish.optimizers.adagrad import Adadelta, Adagrad
from kerasish.optimizers.adam import Adam, AdamW
from kerasish.optimizers.adam_relatives import Adamax, Nadam
from kerasish.optimizers.base import Optimizer
from kerasish.optimizers.foreign import TorchOptimizer, is_torch_optimizer
from kerasish.optimizers.ftrl import Ftrl
from kerasish.optimizers.lamb import Lamb
from kerasish.optimizers.lion import Lion
from kerasish.optimizers.muon import Muon
from kerasish.optimizers.rmsprop import RMSprop
from kerasish.optimizers.schedule_free import ScheduleFreeAdamW
from kerasish.optimizers.sgd import SGD

NAMES = {
    cls.__name__.lower(): cls
    for cls in (
        Adadelta,
        Adafactor,
        Adagrad,
        Adam,
        Adamax,
        AdamW,
        Ftrl,
        Lamb,
        Lion,
        Muon,
        Nadam,
        RMSprop,
        ScheduleFreeAdamW,
        SGD,
    )
}


def get(identifier: Any) -> Any:
    """The optimizer that a name, config, class, partial or instance stands for.

    Args:
        identifier: A name in any case (`"adam"`); a config from `serialize`; an `Optimizer` or its
            class; a `torch.optim` class, `functools.partial` of one or instance; or `None`.

    Raises:
        ValueError: If the name is unknown; the message suggests the nearest.
        TypeError: If the identifier is none of these.

    Example:
        >>> get("sgd")
        SGD(learning_rate=0.01)
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if is_torch_optimizer(identifier):
        return TorchOptimizer(identifier)
    if isinstance(getattr(identifier, "optimizer", None), torch.optim.Optimizer):
        raise TypeError(
            f"optimizer: got the scheduler {describe(identifier)}. Pass its optimizer with it: "
            "TorchOptimizer(optimizer, scheduler=scheduler)."
        )
    if isinstance(identifier, str):
        known = identifier.lower() in NAMES
        identifier = identifier.lower() if known else identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    found = registry.resolve(identifier, NAMES, "optimizer")
    if not isinstance(found, Optimizer):
        raise TypeError(
            "An optimizer must be a name, an Optimizer, or a torch.optim class, partial or "
            f"instance, got {describe(identifier)}."
        )
    return found


def serialize(optimizer: Optimizer) -> Any:
    """The config that `deserialize` makes the optimizer from, without its state."""
    return registry.serialize(optimizer)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the optimizer that a config describes; short ones without a module are Keras's names."""
    name = str(config.get("class_name", ""))
    if config.get("module") is None and name.lower() in NAMES:
        return NAMES[name.lower()].from_config(config.get("config") or {}, custom_objects)
    return registry.deserialize(dict(config), custom_objects)
